"""LIDC-IDRI: the readers' outlines on the voxels of their CT.

`nodules_on` needs only a grid, so that it serves the DICOM series and the volumes that LUNA16 made of them alike.
Called from `training.data.inspection`, `training.data.luna16_mhd` and `training.data.reading`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.eligibility import Eligibility
from inference.geometry import Grid, Shape
from inference.measure import equivalent_diameter_mm
from inference.series import SeriesHeader
from inference.volume import BoolArray
from training.data.ct_series import eligibility_of, refusal_of, series_below, volume_of
from training.data.known import KnownNodule, KnownSeries, Refusal, centre_lps, cropped
from training.data.lidc_sqlite import Annotation, LidcScan, cluster
from training.data.luna16 import DEMO_PATIENTS
from training.errors import TrainingError
from training.labels.consensus import HALF, consensus, mask_from_polygon

BESIDE_SLICE = 0.25
"""An outline further from a slice than this part of the slice distance was not drawn on it."""

SAME_PIXEL = 0.01
"""Relative difference up to which the pixel spacings of database and header are one: the database rounds."""


class OutlinesMisplaced(TrainingError):
    """The outlines do not fit the grid: they lie beside its slices or outside its pixels."""

    code = "lidc.outlines-misplaced"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LidcSeries:
    """A DICOM series with its entry in the database; `read` gives its voxels and nodules."""

    scan: LidcScan
    eligibility: Eligibility


def find(folder: Path, scans: Sequence[LidcScan]) -> Iterator[LidcSeries | Refusal]:
    """All CT series below a folder that the database knows and that may be trained on; other CTs are refused."""
    return found_in(series_below(folder), scans)


def found_in(series: Iterable[SeriesHeader], scans: Sequence[LidcScan]) -> Iterator[LidcSeries | Refusal]:
    """The same for series that have been read; what is no CT is passed over."""
    known = {scan.series_uid: scan for scan in scans}
    for one in series:
        if one.modality != "CT":
            continue
        found = matched(one, known)
        if isinstance(found, LidcSeries) and found.scan.patient_id in DEMO_PATIENTS:
            text = f"{found.scan.patient_id} is the patient of the demo and is never trained or validated on"
            found = Refusal(code="patient.demo", subject=found.scan.series_uid, text=text)
        yield found


def matched(series: SeriesHeader, scans: Mapping[str, LidcScan]) -> LidcSeries | Refusal:
    """A series with its entry in the database, or why it has none that fits.

    Parameters
    ----------
    scans : by series UID
    """
    scan = scans.get(series.series_instance_uid)
    if scan is None:
        text = "the series is not in the database of LIDC-IDRI"
        return Refusal(code="lidc.unknown-series", subject=series.series_instance_uid, text=text)
    eligibility = eligibility_of(series)
    if eligibility.grid is None:
        return refusal_of(series, eligibility)
    try:
        _check(scan, eligibility.grid)
    except OutlinesMisplaced as error:
        return Refusal(code=error.code, subject=series.series_instance_uid, text=str(error))
    return LidcSeries(scan=scan, eligibility=eligibility)


def read(series: LidcSeries) -> KnownSeries:
    """The voxels of a series and the nodules in them.

    Raises
    ------
    SeriesUnreadable : the pixels cannot be read
    """
    volume = volume_of(series.eligibility)
    return KnownSeries(
        patient_id=series.scan.patient_id,
        series_uid=series.scan.series_uid,
        volume=volume,
        nodules=nodules_on(series.scan, volume.grid),
    )


def nodules_on(scan: LidcScan, grid: Grid) -> tuple[KnownNodule, ...]:
    """The nodules of 3 mm or more of a scan, each with what every reader drew.

    Parameters
    ----------
    grid : of the scan as it was taken; its pixels are those of the outlines

    Returns
    -------
    in the order of `training.data.lidc_sqlite.cluster`; `mask` is what half of the readers drew, None if they drew
    apart. The diameter is that of the sphere of this volume, which is 1.18 times the diameter in LUNA16's list
    (correlation 0.998, 283 nodules), for the pixels of the outlines count here and do not there.

    Raises
    ------
    OutlinesMisplaced : the grid is of another scan
    """
    _check(scan, grid)
    return tuple(_nodule(scan, annotations, grid) for annotations in cluster(scan))


def _nodule(scan: LidcScan, annotations: Sequence[Annotation], grid: Grid) -> KnownNodule:
    start, readers_RKJI = _drawn(annotations, grid)
    agreed = consensus(readers_RKJI, HALF)
    shape = agreed if agreed.any() else np.logical_or.reduce(readers_RKJI)
    readers = [cropped(reader, start) for reader in readers_RKJI]
    return KnownNodule(
        nodule_id=f"lidc:{annotations[0].number}",
        patient_id=scan.patient_id,
        series_uid=scan.series_uid,
        centre_lps=centre_lps(shape, start, grid),
        diameter_mm=equivalent_diameter_mm(shape, grid.spacing_mm),
        mask=cropped(agreed, start),
        readers=tuple(reader for reader in readers if reader is not None),
        ratings=tuple(annotation.ratings["malignancy"] for annotation in annotations),
    )


def _drawn(annotations: Sequence[Annotation], grid: Grid) -> tuple[Shape, BoolArray]:
    """The box that holds all outlines, and each reader's mask in it; shape (readers, k, j, i)."""
    points = np.concatenate(
        [
            np.column_stack([np.full(len(o.points_xy), _slice_of(o.z_mm, grid)), o.points_xy[:, ::-1]])
            for annotation in annotations
            for o in annotation.outlines
        ]
    )
    low = np.rint(points.min(axis=0)).astype(int)
    size = np.rint(points.max(axis=0)).astype(int) - low + 1
    masks = np.zeros((len(annotations), *size), bool)
    for mask, annotation in zip(masks, annotations, strict=True):
        for outline in sorted(annotation.outlines, key=lambda outline: not outline.is_inclusion):
            k = round(_slice_of(outline.z_mm, grid)) - low[0]
            inside = mask_from_polygon(outline.points_xy - low[:0:-1], (int(size[1]), int(size[2])))
            mask[k] = mask[k] | inside if outline.is_inclusion else mask[k] & ~inside
    return (int(low[0]), int(low[1]), int(low[2])), masks


def _check(scan: LidcScan, grid: Grid) -> None:
    _, rows, columns = grid.shape_kji
    if max(abs(spacing / scan.pixel_mm - 1) for spacing in grid.spacing_mm[1:]) > SAME_PIXEL:
        raise OutlinesMisplaced(f"pixels of {grid.spacing_mm[1]:g} mm, the outlines are of {scan.pixel_mm:g} mm")
    for outline in (outline for annotation in scan.annotations for outline in annotation.outlines):
        k = _slice_of(outline.z_mm, grid)
        if abs(k - round(k)) > BESIDE_SLICE or not 0 <= round(k) < grid.shape_kji[0]:
            raise OutlinesMisplaced(f"no slice lies at z = {outline.z_mm:g} mm, where an outline was drawn")
        if outline.points_xy.min() < 0 or (outline.points_xy.max(axis=0) >= (columns, rows)).any():
            raise OutlinesMisplaced("an outline lies outside the pixels of its slice")


def _slice_of(z_mm: float, grid: Grid) -> float:
    """Fractional index of the slice at this height; the slices of LIDC-IDRI are axial."""
    x, y, _ = grid.origin_lps
    return float(grid.kji_from_lps((x, y, z_mm))[0])
