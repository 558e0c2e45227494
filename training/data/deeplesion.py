"""DeepLesion as it is distributed: 16-bit PNG slices and `DL_info.csv`; the lung lesions with their RECIST axes.

The axes are read by `training.data.recist_csv`; here the slices around them become volumes. Nobody drew the lesions:
masks come from `training.labels.soft_masks`. Called from `training.data.inspection` and `training.data.reading`.

Yan K et al., J Med Imaging 2018;5:036501. A value minus 32768 is HU; slices are numbered from head to feet; the
position in the patient is not known, so LPS here begins at the first pixel of the first slice that is there.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from inference.geometry import Grid, Spacing
from inference.volume import HuArray, Volume
from training.data.known import KnownNodule, KnownSeries, Refusal
from training.data.recist import RecistMeasurement
from training.data.recist_csv import read_table
from training.errors import TrainingError

TABLE, IMAGES = "DL_info.csv", "Images_png"
LUNG = "5"
OFFSET = 32768
AIR_HU = -1024
"""Lower values are what lies outside the scanner's circle."""

BESIDE_BOX = 1.0
"""Pixels by which an axis may stick out of its lesion's box."""


class SlicesUnreadable(TrainingError):
    """A slice is missing, no PNG of 16 bits, or of another size than the others."""

    code = "deeplesion.slices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One lung lesion; `slice_number` as in the file's name."""

    measurement: RecistMeasurement
    slice_number: int
    spacing_mm: Spacing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeepLesionSeries:
    """The slices of one series that are there, without a gap, and the lung lesions on them.

    Parameters
    ----------
    folder : of its slices
    patient_id : "deeplesion-" and the number of the patient
    first, last : numbers of the first and last slice
    spacing_mm : of the slices, the rows and the columns
    lesions : at least one
    """

    folder: Path
    patient_id: str
    first: int
    last: int
    spacing_mm: Spacing
    lesions: tuple[Lesion, ...]


def find(folder: Path) -> Iterator[DeepLesionSeries | Refusal]:
    """The series below `Images_png` that have lung lesions, with the slices around each; pixels are not read.

    Raises
    ------
    RecistUnreadable : `DL_info.csv` is no such table
    """
    reading = read_table(folder / TABLE)
    yield from reading.refused
    measurements = {measurement.name: measurement for measurement in reading.measurements}
    groups: dict[tuple[str, int, int], list[Lesion]] = defaultdict(list)
    with (folder / TABLE).open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file), start=1):
            measurement = measurements.get(f"row {number} {(row['File_name'] or '').strip()}")
            if measurement is None:
                continue
            found = _lesion(measurement, row)
            if isinstance(found, Refusal):
                yield found
                continue
            span = _span(folder / IMAGES / measurement.series, found.slice_number)
            if span is None:
                yield Refusal(code="deeplesion.missing", subject=measurement.name, text="its slice is not there")
                continue
            groups[measurement.series, *span].append(found)
    for (series, first, last), lesions in sorted(groups.items()):
        yield DeepLesionSeries(
            folder=folder / IMAGES / series,
            patient_id=lesions[0].measurement.patient_id,
            first=first,
            last=last,
            spacing_mm=lesions[0].spacing_mm,
            lesions=tuple(lesions),
        )


def read(series: DeepLesionSeries) -> KnownSeries:
    """The voxels of a series and its lung lesions, each with its axes.

    Raises
    ------
    SlicesUnreadable : see there
    """
    volume_hu = _volume_hu(series)
    grid = Grid(
        shape_kji=(volume_hu.shape[0], volume_hu.shape[1], volume_hu.shape[2]),
        spacing_mm=series.spacing_mm,
        origin_lps=(0.0, 0.0, 0.0),
        directions=((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    )
    return KnownSeries(
        patient_id=series.patient_id,
        series_uid=series.folder.name,
        volume=Volume(volume_hu=volume_hu, grid=grid, frame_of_reference_uid=""),
        nodules=tuple(_nodule(series, lesion, grid) for lesion in series.lesions),
    )


def slice_hu(path: Path) -> HuArray:
    """One slice, from its PNG of 16 bits.

    Raises
    ------
    SlicesUnreadable : see there
    """
    try:
        with Image.open(path) as image:
            if not image.mode.startswith("I"):
                raise SlicesUnreadable(f"{path.name} has not 16 bits")
            stored = np.asarray(image).astype(np.int32)
    except (OSError, Image.DecompressionBombError) as error:
        raise SlicesUnreadable(f"{path.name} cannot be read as PNG") from error
    return np.clip(stored - OFFSET, AIR_HU, np.iinfo(np.int16).max).astype(np.int16)


def _lesion(measurement: RecistMeasurement, row: Mapping[str, str]) -> Lesion | Refusal:
    if (row.get("Coarse_lesion_type") or "").strip().removesuffix(".0") != LUNG:
        text = "the table does not say that the lesion is in the lung"
        return Refusal(code="deeplesion.type-unknown", subject=measurement.name, text=text)
    try:
        number = int(Path(measurement.image).stem)
        x_mm, y_mm, z_mm = (float(part) for part in row["Spacing_mm_px_"].split(","))
        low_x, low_y, high_x, high_y = (float(part) for part in row["Bounding_boxes"].split(","))
    except (KeyError, ValueError, AttributeError):
        text = "slice number, spacing or box is missing or no number"
        return Refusal(code="deeplesion.row", subject=measurement.name, text=text)
    if not all(math.isfinite(mm) and mm > 0 for mm in (x_mm, y_mm, z_mm)):
        text = "the distance of its slices or pixels is not known"
        return Refusal(code="deeplesion.spacing", subject=measurement.name, text=text)
    ends = np.array(measurement.axes.ends_xy)
    box = np.array([(low_x, low_y), (high_x, high_y)])
    if (ends < box[0] - BESIDE_BOX).any() or (ends > box[1] + BESIDE_BOX).any():
        return Refusal(code="deeplesion.box", subject=measurement.name, text="its axes lie outside its box")
    return Lesion(measurement=measurement, slice_number=number, spacing_mm=(z_mm, y_mm, x_mm))


def _span(folder: Path, number: int) -> tuple[int, int] | None:
    """First and last of the slices that lie without a gap around this one; None if it is not there."""
    if not _path(folder, number).exists():
        return None
    first = last = number
    while _path(folder, first - 1).exists():
        first -= 1
    while _path(folder, last + 1).exists():
        last += 1
    return first, last


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:03d}.png"


def _volume_hu(series: DeepLesionSeries) -> HuArray:
    slices = [slice_hu(_path(series.folder, number)) for number in range(series.first, series.last + 1)]
    if len({one.shape for one in slices}) > 1:
        raise SlicesUnreadable("the slices are not of one size")
    volume_hu: HuArray = np.stack(slices)
    volume_hu.setflags(write=False)
    return volume_hu


def _nodule(series: DeepLesionSeries, lesion: Lesion, grid: Grid) -> KnownNodule:
    axes = lesion.measurement.axes
    (x0, y0), (x1, y1) = axes.long_xy
    column, row = np.mean(axes.ends_xy, axis=0).tolist()
    _, row_mm, column_mm = series.spacing_mm
    x, y, z = grid.lps_from_kji((lesion.slice_number - series.first, row, column)).tolist()
    return KnownNodule(
        nodule_id=f"deeplesion:{lesion.measurement.name}",
        patient_id=series.patient_id,
        series_uid=series.folder.name,
        centre_lps=(x, y, z),
        diameter_mm=math.hypot((x1 - x0) * column_mm, (y1 - y0) * row_mm),
        axes=axes,
    )
