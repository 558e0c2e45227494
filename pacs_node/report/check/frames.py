"""The analysed series and the SEG as plain arrays, read with pydicom and numpy alone.

Positions are compared in patient space, never by the order of files or frames.
Used by the other modules of `check`; shares no code with what writes results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

POSITION_TOLERANCE_MM = 0.01
"""Decimal strings of positions carry at least this precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice of the series; `index` is its place in the source as given (the k of a volume given along)."""

    index: int
    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None
    position_lps: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Geometry of the analysed series.

    Parameters
    ----------
    slices : in the order given
    positions_lps : shape (slices, 3), where their first pixels lie
    gap_mm : mean distance of neighbouring slices along the normal
    pixel_spacing_mm : distance of rows, distance of columns
    """

    slices: tuple[Slice, ...]
    positions_lps: Array
    row_direction: Array
    column_direction: Array
    gap_mm: float
    pixel_spacing_mm: tuple[float, float]
    rows: int
    columns: int

    @property
    def normal(self) -> Array:
        """Unit vector across the slices."""
        return np.cross(self.row_direction, self.column_direction)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel, from the measured distance of slices."""
        return self.gap_mm * self.pixel_spacing_mm[0] * self.pixel_spacing_mm[1]

    def slice_at(self, position_lps: Array) -> Slice | None:
        """The slice whose first pixel lies here, or None."""
        distances = np.abs(self.positions_lps - position_lps).max(axis=1)
        nearest = int(np.argmin(distances))
        return self.slices[nearest] if distances[nearest] <= POSITION_TOLERANCE_MM else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of a SEG; `pixels` is what is set inside the box that begins at `corner` (row, column)."""

    segment: int
    position_lps: Array
    corner: tuple[int, int]
    pixels: Bools

    def points(self) -> NDArray[np.int64]:
        """Shape (n, 2): row and column of every set pixel."""
        points: NDArray[np.int64] = np.argwhere(self.pixels) + np.asarray(self.corner, np.int64)
        return points


def read_source(headers: Sequence[Dataset], frame_numbers: Sequence[int]) -> Source:
    """Geometry from CT headers; `frame_numbers` is the frame of every slice of Enhanced ones (empty: all)."""
    slices = tuple(_slices(headers, frame_numbers))
    first = headers[0]
    frame = slices[0].frame_number
    orientation = np.asarray(_group(first, frame, "PlaneOrientationSequence").ImageOrientationPatient, float)
    measures = _group(first, frame, "PixelMeasuresSequence")
    normal = np.cross(orientation[:3], orientation[3:])
    positions = np.stack([item.position_lps for item in slices])
    heights = positions @ normal
    return Source(
        slices=slices,
        positions_lps=positions,
        row_direction=orientation[:3],
        column_direction=orientation[3:],
        gap_mm=float(np.ptp(heights)) / (len(heights) - 1) if len(heights) > 1 else float(measures.SliceThickness),
        pixel_spacing_mm=(float(measures.PixelSpacing[0]), float(measures.PixelSpacing[1])),
        rows=int(first.Rows),
        columns=int(first.Columns),
    )


def read_frames(seg: Dataset) -> Iterator[Frame]:
    """Frames of a BINARY SEG, first bit lowest (PS3.5 section 8.1.1)."""
    rows, columns = int(seg.Rows), int(seg.Columns)
    packed = np.frombuffer(seg.PixelData, np.uint8)
    for number, item in enumerate(seg.PerFrameFunctionalGroupsSequence):
        first = number * rows * columns
        stop = first + rows * columns
        bits = np.unpackbits(packed[first // 8 : -(-stop // 8)], bitorder="little")[first % 8 :][: rows * columns]
        corner, pixels = _cropped(bits.reshape(rows, columns).astype(bool))
        yield Frame(
            segment=int(segment_number(seg, item)),
            position_lps=np.asarray(item.PlanePositionSequence[0].ImagePositionPatient, float),
            corner=corner,
            pixels=pixels,
        )


def segment_number(seg: Dataset, frame_item: Dataset) -> int:
    """The segment that a frame shows; shared by all frames if there is one segment only."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    item = frame_item if "SegmentIdentificationSequence" in frame_item else shared
    return int(item.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _slices(headers: Sequence[Dataset], frame_numbers: Sequence[int]) -> Iterator[Slice]:
    places: list[tuple[Dataset, int | None]] = [(header, None) for header in headers]
    if frame_numbers:
        instances = headers if len(headers) > 1 else list(headers) * len(frame_numbers)
        places = list(zip(instances, frame_numbers, strict=True))
    elif "PerFrameFunctionalGroupsSequence" in headers[0]:
        places = [(item, n + 1) for item in headers for n in range(len(item.PerFrameFunctionalGroupsSequence))]
    for index, (header, number) in enumerate(places):
        yield Slice(
            index=index,
            sop_class_uid=str(header.SOPClassUID),
            sop_instance_uid=str(header.SOPInstanceUID),
            frame_number=number,
            position_lps=np.asarray(_group(header, number, "PlanePositionSequence").ImagePositionPatient, float),
        )


def _group(header: Dataset, frame: int | None, keyword: str) -> Dataset:
    if frame is None:
        return header
    own = header.PerFrameFunctionalGroupsSequence[frame - 1]
    return (own if keyword in own else header.SharedFunctionalGroupsSequence[0])[keyword][0]


def _cropped(plane: Bools) -> tuple[tuple[int, int], Bools]:
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    if not rows.size:
        return (0, 0), plane[:0, :0]
    corner = (int(rows[0]), int(columns[0]))
    return corner, plane[corner[0] : rows[-1] + 1, corner[1] : columns[-1] + 1].copy()
