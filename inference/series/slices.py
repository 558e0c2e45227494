"""What a series says about itself: its slices and the facts that rules ask for. No files, no pydicom.

Made by `inference.series.headers`; judged by `inference.eligibility`. An attribute that is missing or unusable is None
or empty text, so that a broken value becomes a reason and never an exception. Values must not be logged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from inference.geometry import FloatArray, Point
from inference.series.limits import Excess

Value = TypeVar("Value")
Cosines = tuple[float, float, float, float, float, float]

PLANES = ("sagittal", "coronal", "axial")
"""name of a plane by the LPS axis that is normal to it"""

PLANE_TOLERANCE_DEG = 5.0
"""a slice is called axial up to here: positioning varies by a few degrees, reformats along another anatomy by more"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelLayout:
    """How the pixels of an instance lie in its file (PS3.3 C.7.6.3).

    Parameters
    ----------
    offset : of the first byte of the value of Pixel Data in the file as `open_instance` opens it
    length : of that value in bytes as far as the file holds it; to the end of the file where the length is undefined,
        and 0 if the pixels are not compressed; as stated where the file is deflated
    frames : number of frames in the instance
    samples, bits_allocated, bits_stored, high_bit : of one pixel
    signed : two's complement
    padding : lowest and highest stored value that means "nothing measured here"
    """

    offset: int
    length: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    padding: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHeader:
    """One slice: a single-frame instance or one frame of an Enhanced CT.

    Parameters
    ----------
    frame : 0 for a single-frame instance, else the frame number, from 1
    position_lps : centre of the first pixel, mm
    orientation : direction cosines of the row (increasing column index) and of the column (increasing row index)
    pixel_spacing_mm : distance between rows, distance between columns
    gantry_tilt_deg : as the scanner states it
    pixels : None if the instance has no integer Pixel Data or does not say how they are coded
    excess : the limit because of which not all of the header was read
    """

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    frame: int
    modality: str
    image_type: tuple[str, ...]
    instance_number: int | None
    acquisition_number: int | None
    frame_of_reference_uid: str
    position_lps: Point | None
    orientation: Cosines | None
    rows: int | None
    columns: int | None
    pixel_spacing_mm: tuple[float, float] | None
    slice_thickness_mm: float | None
    gantry_tilt_deg: float | None
    rescale_slope: float | None
    rescale_intercept: float | None
    rescale_type: str
    pixels: PixelLayout | None
    excess: Excess | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesHeader:
    """All slices that carry one Series Instance UID within one study, in no meaningful order.

    Texts are those of most slices; empty text where the series does not say. `contrast`: a contrast agent is named.
    """

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    sop_class_uids: tuple[str, ...]
    image_type: tuple[str, ...]
    body_part_examined: str
    series_description: str
    study_description: str
    protocol_name: str
    convolution_kernel: str
    manufacturer: str
    series_number: int | None
    contrast: bool
    slices: tuple[SliceHeader, ...]

    @property
    def slice_count(self) -> int:
        """Number of slices; frames of an Enhanced CT count as slices."""
        return len(self.slices)

    @property
    def thickness_mm(self) -> float | None:
        """The slice thickness of most slices."""
        return most_common(item.slice_thickness_mm for item in self.slices)

    @property
    def orientation(self) -> str:
        """`axial`, `coronal`, `sagittal` or `oblique`, of most slices; empty if no slice says."""
        named = most_common(plane_name(item.orientation) for item in self.slices if item.orientation is not None)
        return named or ""

    @property
    def spacing_mm(self) -> float | None:
        """Median distance of neighbouring slices along the normal."""
        offsets = self._offsets_mm()
        return float(np.median(np.diff(offsets))) if len(offsets) > 1 else None

    @property
    def coverage_mm(self) -> float | None:
        """From the outer face of the first slice to that of the last; centre to centre if the thickness is unknown."""
        offsets = self._offsets_mm()
        return float(offsets[-1] - offsets[0] + (self.thickness_mm or 0.0)) if len(offsets) > 1 else None

    def _offsets_mm(self) -> FloatArray:
        common = most_common(item.orientation for item in self.slices if item.orientation is not None)
        if common is None:
            return np.empty(0)
        alike = [item for item in self.slices if item.orientation == common and item.position_lps is not None]
        return np.sort(offsets_mm(alike))


def offsets_mm(slices: Sequence[SliceHeader]) -> FloatArray:
    """Position of each slice along the normal of the first, mm; shape (slices,). All need position and orientation."""
    positions = np.array([item.position_lps for item in slices], float).reshape(-1, 3)
    if not slices or slices[0].orientation is None:
        return np.zeros(len(slices))
    return positions @ normal(slices[0].orientation)


def normal(orientation: Cosines) -> FloatArray:
    """Unit vector row x column (PS3.3 C.7.6.2.1.1): with k along it, (i, j, k) is a right-handed system."""
    cross = np.cross(orientation[:3], orientation[3:])
    return np.asarray(cross / max(float(np.linalg.norm(cross)), 1e-12))


@lru_cache(maxsize=64)  # most slices of a series lie in the same
def plane_name(orientation: Cosines) -> str:
    """The plane that the slice lies in up to `PLANE_TOLERANCE_DEG`; `oblique` if in none."""
    away_deg = np.degrees(np.arccos(np.clip(np.abs(normal(orientation)), 0.0, 1.0)))
    axis = int(np.argmin(away_deg))
    return PLANES[axis] if away_deg[axis] <= PLANE_TOLERANCE_DEG else "oblique"


def most_common(values: Iterable[Value | None]) -> Value | None:
    """The value that occurs most often, None and empty not counted; of equals, the first."""
    counted = Counter(value for value in values if value not in (None, "", ()))
    return counted.most_common(1)[0][0] if counted else None
