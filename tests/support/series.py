"""CT series on disk: small, valid, and wrong in exactly the way that a test asks for.

    a_series(tmp_path, slices=30, transfer_syntax=RLELossless)      # 64 x 64 pixels that tell where they lie
    a_series(tmp_path, drop={7})                                    # a gap
    a_series(tmp_path, change={3: {"SliceThickness": "4"}})         # one slice differs
    a_chest_series(tmp_path, balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=12)])

Files are named and numbered from head to feet, as scanners do; what is returned runs along the slice normal, as volumes
do. Any attribute can be overridden by its keyword; None deletes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from tests.support.ct_instances import StoredArray, decimals, enhanced_of, override, set_pixels, uid, write_instance

FloatArray = NDArray[np.float64]
Hu = Callable[[FloatArray], FloatArray]
Rescale = tuple[float, float]
Orientation = tuple[float, float, float, float, float, float]

SUPINE: Orientation = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""rows to the patient's left, columns to the back: the usual axial slice"""

AXIAL: Mapping[str, Orientation] = {
    "supine": SUPINE,
    "prone": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "rows flipped": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "columns flipped": (1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "on the side": (0.0, 1.0, 0.0, -1.0, 0.0, 0.0),
}
CORONAL: Orientation = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL: Orientation = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)

PATIENT_NAME = "CANARY^SERIES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ball:
    """A nodule in the chest of `chest_hu`."""

    centre_lps: tuple[float, float, float]
    diameter_mm: float
    hu: float = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where slices lie: slice k has its first pixel at `origin_lps` + k x `step_lps`."""

    size: tuple[int, int]
    pixel_spacing_mm: tuple[float, float]
    orientation: Orientation
    origin_lps: tuple[float, ...]
    step_lps: tuple[float, ...]

    def position_lps(self, k: int) -> FloatArray:
        """First pixel of slice k."""
        return np.add(self.origin_lps, np.multiply(k, self.step_lps))

    def points_lps(self, k: int) -> FloatArray:
        """Centres of the pixels of slice k; shape (row, column, 3)."""
        rows, columns = np.mgrid[: self.size[0], : self.size[1]]
        within = rows[..., None] * self.row_step_lps + columns[..., None] * self.column_step_lps
        return np.asarray(self.position_lps(k) + within)

    @property
    def row_step_lps(self) -> FloatArray:
        """From one row to the next."""
        return np.multiply(self.orientation[3:], self.pixel_spacing_mm[0])

    @property
    def column_step_lps(self) -> FloatArray:
        """From one column to the next."""
        return np.multiply(self.orientation[:3], self.pixel_spacing_mm[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How HU become stored values; `rescale` gives slope and intercept of slice k."""

    rescale: Callable[[int], Rescale]
    bits_stored: int = 16
    signed: bool = True
    padding: int | None = None
    padding_limit: int | None = None

    def stored(self, hu: FloatArray, k: int) -> StoredArray:
        """Stored values of a slice; with padding, everything outside the inscribed circle is padding."""
        slope, intercept = self.rescale(k)
        lowest = -(2 ** (self.bits_stored - 1)) if self.signed else 0
        stored = np.clip(np.round((hu - intercept) / slope), lowest, lowest + 2**self.bits_stored - 1)
        if self.padding is not None:
            stored[outside_the_circle(stored.shape)] = self.padding
        return stored.astype(np.int16 if self.signed else np.uint16)


def outside_the_circle(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The corners of a slice, where scanners put padding."""
    rows, columns = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return np.asarray(np.hypot(rows, columns) > 1)


def ramp_hu(points_lps: FloatArray) -> FloatArray:
    """x + 2 y + 3 z, rounded: a voxel tells where it lies, so that no flip or swap of axes can hide.

    Shape (..., 3) to (...). `a_series` has its voxels at tenths of a millimetre; 0.03 keeps them off ties.
    """
    return np.asarray(np.round(points_lps @ np.array([1.0, 2.0, 3.0]) + 0.03))


def chest_hu(balls: Sequence[Ball] = ()) -> Hu:
    """A body of 260 x 190 mm about the z axis, with two lungs of 90 x 130 mm, and balls. Endless along z."""

    def hu(points_lps: FloatArray) -> FloatArray:
        x, y, _ = np.moveaxis(points_lps, -1, 0)
        values = np.full(x.shape, -1000.0)
        values[np.hypot(x / 130, y / 95) < 1] = 40.0
        values[np.hypot((abs(x) - 65) / 45, y / 65) < 1] = -850.0
        for ball in balls:
            values[np.linalg.norm(points_lps - np.array(ball.centre_lps), axis=-1) <= ball.diameter_mm / 2] = ball.hu
        return values

    return hu


def a_chest_series(directory: Path, *, balls: Sequence[Ball] = (), **options: Any) -> list[Path]:
    """A series of `chest_hu`: 60 slices of 2.5 mm, 280 x 280 pixels of 1 mm; `options` of `a_series` say otherwise."""
    usual = {"slices": 60, "size": (280, 280), "pixel_spacing_mm": (1.0, 1.0), "bits_stored": 12, "signed": False}
    return a_series(directory, hu=chest_hu(balls), **{**usual, **options})


def a_series(
    directory: Path,
    *,
    slices: int = 40,
    size: tuple[int, int] = (64, 64),
    spacing_mm: float = 2.5,
    thickness_mm: float | None = None,
    pixel_spacing_mm: tuple[float, float] = (0.8, 0.8),
    orientation: Orientation = SUPINE,
    step_lps: tuple[float, float, float] | None = None,
    tilt_deg: float = 0.0,
    hu: Hu = ramp_hu,
    rescale: Rescale | Callable[[int], Rescale] = (1.0, -1024.0),
    bits_stored: int = 16,
    signed: bool = True,
    padding: int | None = None,
    padding_limit: int | None = None,
    transfer_syntax: str = ExplicitVRLittleEndian,
    enhanced: bool = False,
    localizer: bool = False,
    drop: Collection[int] = (),
    duplicate: Collection[int] = (),
    change: Mapping[int, Mapping[str, Any]] | None = None,
    study: str = "1",
    series: str = "1",
    **attributes: Any,
) -> list[Path]:
    """Write a CT series, its middle at (0, 0, 0).

    Parameters
    ----------
    directory : made if it is missing
    slices : number of slices before `drop` and `duplicate`
    size : rows and columns
    thickness_mm : as `spacing_mm` if not given
    step_lps : from slice to slice; along the normal by `spacing_mm` if not given
    tilt_deg : turns the slices about the x axis while the table moves along z, as under a tilted gantry
    hu : HU at places
    rescale : slope and intercept, or a function that gives them for slice k
    padding, padding_limit : Pixel Padding Value, stored outside the inscribed circle, and Pixel Padding Range Limit
    transfer_syntax : any that is not compressed, RLE, JPEG-LS, JPEG 2000 and HTJ2K without loss
    enhanced : one Enhanced CT with a frame per slice
    localizer : adds a coronal localizer to the series
    drop, duplicate : slices k that are missing, that come twice (as different instances)
    change : attributes of single slices, by k
    study, series : other texts give other UIDs; the frame of reference goes with the study
    attributes : of every slice, over the defaults

    Returns
    -------
    files in the order of k; an Enhanced CT is one file; a localizer comes last
    """
    geometry = _geometry(
        slices, size, pixel_spacing_mm, orientation, tilt_deg, step_lps or _step(orientation, spacing_mm)
    )
    coding = Coding(
        rescale=rescale if callable(rescale) else lambda _: rescale,
        bits_stored=bits_stored,
        signed=signed,
        padding=padding,
        padding_limit=padding_limit,
    )
    wanted = sorted([*(k for k in range(slices) if k not in drop), *duplicate])
    datasets = []
    for index, k in enumerate(wanted):
        dataset = _identity(study, series, number=len(wanted) - index)
        _describe(dataset, geometry, coding, hu, k)
        thickness = {"SliceThickness": decimals(thickness_mm or spacing_mm)}
        override(dataset, **thickness | attributes | dict((change or {}).get(k, {})))
        datasets.append(dataset)
    if enhanced:
        datasets = [enhanced_of(datasets)]
    if localizer:
        datasets.append(_localizer(_identity(study, series, number=len(wanted) + 1), coding))
    return [write_instance(directory, dataset, transfer_syntax) for dataset in datasets]


def _geometry(
    slices: int,
    size: tuple[int, int],
    pixel_spacing_mm: tuple[float, float],
    orientation: Orientation,
    tilt_deg: float,
    step_lps: tuple[float, ...],
) -> Geometry:
    cos, sin = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    row, column = turn @ orientation[:3], turn @ orientation[3:]
    start = Geometry(
        size=size,
        pixel_spacing_mm=pixel_spacing_mm,
        orientation=(*map(float, row), *map(float, column)),  # type: ignore[arg-type]
        origin_lps=(0.0, 0.0, 0.0),
        step_lps=step_lps,
    )
    half = (slices - 1) / 2 * np.array(step_lps)
    half += (size[0] - 1) / 2 * start.row_step_lps + (size[1] - 1) / 2 * start.column_step_lps
    return dataclasses.replace(start, origin_lps=tuple(np.round(-half, 6)))


def _step(orientation: Orientation, spacing_mm: float) -> tuple[float, ...]:
    return tuple(float(value) for value in spacing_mm * np.cross(orientation[:3], orientation[3:]))


def _identity(study: str, series: str, *, number: int) -> Dataset:
    dataset = Dataset()
    override(
        dataset,
        SOPClassUID=CTImageStorage,
        SOPInstanceUID=uid(study, series, number),
        StudyInstanceUID=uid(study),
        SeriesInstanceUID=uid(study, series),
        FrameOfReferenceUID=uid(study, "frame of reference"),
        PositionReferenceIndicator="",
        Modality="CT",
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        PatientName=PATIENT_NAME,
        PatientID="CANARY-ID",
        PatientBirthDate="19500101",
        PatientSex="O",
        StudyDate="20260102",
        StudyTime="030405",
        StudyID="1",
        AccessionNumber="",
        ReferringPhysicianName="",
        StudyDescription="CT CHEST",
        SeriesDescription="LUNG 2.5",
        ProtocolName="CHEST",
        BodyPartExamined="CHEST",
        PatientPosition="HFS",
        Manufacturer="PULMONODE TEST",
        ManufacturerModelName="BUILDER",
        ConvolutionKernel="B30f",
        KVP="120",
        SeriesNumber=2,
        AcquisitionNumber=1,
        InstanceNumber=number,
    )
    return dataset


def _describe(dataset: Dataset, geometry: Geometry, coding: Coding, hu: Hu, k: int) -> None:
    """Geometry, pixels and rescale of slice k."""
    slope, intercept = coding.rescale(k)
    override(
        dataset,
        ImagePositionPatient=decimals(*geometry.position_lps(k)),
        ImageOrientationPatient=decimals(*geometry.orientation),
        PixelSpacing=decimals(*geometry.pixel_spacing_mm),
        RescaleSlope=decimals(slope),
        RescaleIntercept=decimals(intercept),
        RescaleType="HU",
        PixelPaddingValue=coding.padding,
        PixelPaddingRangeLimit=coding.padding_limit,
    )
    set_pixels(dataset, coding.stored(hu(geometry.points_lps(k)), k), bits_stored=coding.bits_stored)


def _localizer(dataset: Dataset, coding: Coding) -> Dataset:
    geometry = Geometry(
        size=(32, 48),
        pixel_spacing_mm=(2.0, 2.0),
        orientation=CORONAL,
        origin_lps=(-47.0, 0.0, 31.0),
        step_lps=(0.0, 1.0, 0.0),
    )
    _describe(dataset, geometry, coding, ramp_hu, 0)
    override(dataset, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SliceThickness="80")
    return dataset
