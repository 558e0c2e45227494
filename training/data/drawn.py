"""Images with what people drew on them, found in a folder: what soft masks are made from.

Known are the shared folder of LIDC slices; DICOM CT with TID 1500 reports; DeepLesion's folders with its table. Called
from `training.cli.label`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.errors import SeriesUnreadable
from inference.geometry import Grid
from inference.series import SliceHeader, find_files, load
from inference.volume import HuArray
from training.data.ct_series import readable
from training.data.deeplesion import IMAGES, TABLE, SlicesUnreadable, slice_hu
from training.data.known import Refusal
from training.data.recist import RecistMeasurement, RecistReading, square_mm
from training.data.recist_csv import read_table
from training.data.recist_sr import read_reports
from training.data.slices import EDGE, lidc_rows, load_lidc
from training.data.soft_mask_folder import Subject
from training.errors import TrainingError
from training.labels.recist import RecistAxes

SMALLEST_CROP = EDGE
"""Pixels; the crops of paper 5 are 64, a slice that recipes train on has room to shift them."""

SURROUNDINGS = 2.0
"""Edge of the crop against the box around the axes, where that is more."""


class NothingDrawn(TrainingError):
    """The folder holds nothing that soft masks can be made from."""

    code = "label.nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is; `items` are read one by one as they are taken, `count` of them."""

    count: int
    items: Iterable[Subject | Refusal]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """What a measurement lies on; `series` and `pixel_spacing_mm` as in `Subject`."""

    image_hu_ji: HuArray
    series: str
    pixel_spacing_mm: float | None


def find(folder: Path, recist: Path | None = None) -> Found:
    """All that was drawn in a folder.

    Parameters
    ----------
    folder : LIDC slices, DICOM files, or DeepLesion's images
    recist : a table with DeepLesion's columns (.csv; `DL_info.csv` in the folder is found), or reports (DICOM SR) from
        outside the folder: a file or a folder

    Raises
    ------
    NothingDrawn : nothing of it is there
    RecistUnreadable : the table is none
    """
    if recist is None and (folder / TABLE).is_file():
        recist = folder / TABLE
    if recist is not None and recist.suffix.casefold() == ".csv":
        return _measured(read_table(recist), lambda one: _png(folder, one))
    if (folder / "slices.npz").is_file():
        return _lidc(folder)
    return _dicom(folder, recist)


def around(image_hu_ji: HuArray, axes: RecistAxes) -> tuple[HuArray, RecistAxes]:
    """The crop around a measurement, and the axes in it; empty if the axes lie outside the image.

    Parameters
    ----------
    image_hu_ji : shape (rows, columns)
    """
    ends_xy = np.array(axes.ends_xy)
    low_xy, high_xy = ends_xy.min(axis=0), ends_xy.max(axis=0)
    edge = max(SMALLEST_CROP, math.ceil(SURROUNDINGS * float((high_xy - low_xy).max())))
    starts = [max(0, round(float(middle)) - edge // 2) for middle in (low_xy + high_xy) / 2]
    crop = image_hu_ji[starts[1] : starts[1] + edge, starts[0] : starts[0] + edge]
    return crop, axes.moved((float(starts[0]), float(starts[1])))


def _lidc(folder: Path) -> Found:
    series = {f"lidc:{number}": str(row.get("series_uid", "")) for number, row in enumerate(lidc_rows(folder))}
    subjects = [
        Subject(
            name=one.case_id,
            patient_id=one.patient_id,
            series=series[one.case_id],
            image=one.case_id,
            pixel_spacing_mm=one.pixel_spacing_mm,
            image_hu_ji=one.image_hu,
            drawn=one.readers_RJI,
        )
        for one in load_lidc(folder)
    ]
    return Found(count=len(subjects), items=subjects)


def _dicom(folder: Path, recist: Path | None) -> Found:
    elsewhere = [] if recist is None else find_files(recist) if recist.is_dir() else [recist]
    slices: dict[tuple[str, int], SliceHeader] = {}
    series_of: dict[str, str] = {}
    reports = list(elsewhere)
    for series in readable(find_files(folder)):
        if series.modality == "SR":
            reports.extend(item.path for item in series.slices if item.path not in elsewhere)
        slices.update({(item.sop_instance_uid, item.frame): item for item in series.slices})
        series_of.update({item.sop_instance_uid: series.series_instance_uid for item in series.slices})
    if not reports:
        raise NothingDrawn(
            f"{folder} holds neither LIDC slices nor DICOM reports; name a table or report with --recist"
        )
    return _measured(read_reports(reports), lambda one: _slice(slices, series_of, one))


def _measured(reading: RecistReading, image_of: Callable[[RecistMeasurement], _Image | Refusal]) -> Found:
    """The measurements with their images; one that is there twice, as a report and its successor say it, once."""
    once = {(one.image, one.frame_number, one.axes): one for one in reversed(reading.measurements)}
    measurements = [one for one in reading.measurements if once[one.image, one.frame_number, one.axes] is one]

    def items() -> Iterator[Subject | Refusal]:
        yield from reading.refused
        for one in measurements:
            yield _subject(one, image_of(one))

    return Found(count=len(reading.refused) + len(measurements), items=items())


def _subject(one: RecistMeasurement, image: _Image | Refusal) -> Subject | Refusal:
    if isinstance(image, Refusal):
        return image
    crop, axes = around(image.image_hu_ji, one.axes)
    if not crop.size:
        return Refusal(code="recist.outside", subject=one.name, text=f"The axes lie outside the image {one.image}.")
    return Subject(
        name=one.name,
        patient_id=one.patient_id,
        series=image.series,
        image=one.image,
        pixel_spacing_mm=image.pixel_spacing_mm,
        image_hu_ji=crop,
        drawn=axes,
    )


def _slice(
    slices: dict[tuple[str, int], SliceHeader], series_of: dict[str, str], one: RecistMeasurement
) -> _Image | Refusal:
    found = slices.get((one.image, one.frame_number or 0)) or slices.get((one.image, 0))
    if found is None:
        return Refusal(code="image.absent", subject=one.name, text=f"The instance {one.image} is not here.")
    if found.modality != "CT" or not found.rows or not found.columns:
        return Refusal(code="image.not-ct", subject=one.name, text=f"The instance {one.image} is no CT.")
    axes_lps = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)
    one_slice = Grid(
        shape_kji=(1, found.rows, found.columns), spacing_mm=(1.0,) * 3, origin_lps=(0.0,) * 3, directions=axes_lps
    )
    try:
        return _Image(
            image_hu_ji=np.asarray(load([found], one_slice).volume_hu[0]),
            series=series_of[one.image],
            pixel_spacing_mm=square_mm(*found.pixel_spacing_mm) if found.pixel_spacing_mm else None,
        )
    except SeriesUnreadable as error:
        return Refusal(code=error.code, subject=one.name, text=str(error))


def _png(folder: Path, one: RecistMeasurement) -> _Image | Refusal:
    path = next((path for path in (folder / IMAGES / one.image, folder / one.image) if path.is_file()), None)
    if path is None:
        return Refusal(code="image.absent", subject=one.name, text=f"The file {one.image} is not here.")
    try:
        return _Image(image_hu_ji=slice_hu(path), series=one.series, pixel_spacing_mm=one.pixel_spacing_mm)
    except SlicesUnreadable as error:
        return Refusal(code=error.code, subject=one.name, text=str(error))
