"""LUNA16 as it is distributed: volumes in .mhd with .raw or .zraw, nodules and exclusions in CSV files.

The masks are not part of LUNA16; they come from the outlines of LIDC-IDRI where these are at hand, for both have the
same series and pixels. Called from `training.data.inspection` and `training.data.reading`.

Setio AAA et al., Med Image Anal 2017;42:1-13; https://luna16.grand-challenge.org. Annotations LIDC-IDRI, CC BY 3.0.
"""

from __future__ import annotations

import csv
import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from inference.geometry import Grid, Point
from inference.volume import HuArray, Volume
from training.data.known import KnownNodule, KnownSeries, Refusal
from training.data.lidc import nodules_on
from training.data.lidc_sqlite import LidcScan
from training.data.luna16 import DEMO_PATIENTS
from training.errors import TrainingError

ANNOTATIONS, EXCLUDED = "annotations.csv", "annotations_excluded.csv"
CANDIDATES = ("candidates_V2.csv", "candidates.csv")
COLUMNS = {"seriesuid", "coordX", "coordY", "coordZ"}

AIR_HU = -1024
"""Lower values are what lies outside the scanner's circle, -3024 or -2000."""

OBLIQUE = 1e-3
"""A direction matrix that is this far from orthonormal describes no CT grid."""

SUBSET = "subset"


class TableBroken(TrainingError):
    """A table has not the columns or numbers that it should have."""

    code = "luna16.table"


class VolumeUnreadable(TrainingError):
    """The .raw or .zraw of a volume is missing, too short or broken."""

    code = "luna16.pixels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in a table; `diameter_mm` is 0 where it is not known, `is_nodule` is false for exclusions."""

    centre_lps: Point
    diameter_mm: float
    is_nodule: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Luna16Scan:
    """One volume on disk; `read` gives its voxels and nodules.

    Parameters
    ----------
    path : of the .mhd
    series_uid : its name
    patient_id : the LIDC patient; the series if it is not known
    subset : official fold 0..9, from the folder's name; None if it has none
    grid : from the header: origin, spacing and TransformMatrix, so that flipped volumes lie where they were taken
    marks : nodules and exclusions
    """

    path: Path
    series_uid: str
    patient_id: str
    subset: int | None
    grid: Grid
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateCounts:
    """How many places a table of candidates names, and how many of them are nodules."""

    places: int
    nodules: int


def find(folder: Path, patients: Mapping[str, str]) -> Iterator[Luna16Scan | Refusal]:
    """All volumes below a folder, with their marks; pixels are not read.

    Parameters
    ----------
    folder : holds `annotations.csv` and, if there is one, `annotations_excluded.csv`
    patients : LIDC patient by series; LUNA16 itself names none

    Raises
    ------
    TableBroken : see `marks_of`
    """
    marks = marks_of(folder)
    for path in sorted(folder.rglob("*.mhd")):
        try:
            grid = grid_of(path)
        except (RuntimeError, ValueError) as error:
            text = str(error).strip().splitlines()[-1] if isinstance(error, ValueError) else "the header is broken"
            yield Refusal(code="luna16.header", subject=path.name, text=text)
            continue
        beyond = sum(mark.is_nodule and not _is_inside(grid, mark.centre_lps) for mark in marks[path.stem])
        if beyond:
            text = f"{beyond} nodules lie outside the volume"
            yield Refusal(code="luna16.mark-outside", subject=path.stem, text=text)
            continue
        patient = patients.get(path.stem, path.stem)
        if patient in DEMO_PATIENTS:
            text = f"{patient} is the patient of the demo and is never trained or validated on"
            yield Refusal(code="patient.demo", subject=path.stem, text=text)
            continue
        yield Luna16Scan(
            path=path,
            series_uid=path.stem,
            patient_id=patient,
            subset=_subset(path),
            grid=grid,
            marks=tuple(marks[path.stem]),
        )


def marks_of(folder: Path) -> Mapping[str, Sequence[Mark]]:
    """Nodules and exclusions by series.

    Raises
    ------
    TableBroken : a table without its columns, or with something that is not a number
    """
    marks = defaultdict(list)
    for name, is_nodule in ((ANNOTATIONS, True), (EXCLUDED, False)):
        for row in _rows(folder / name):
            try:
                x, y, z, diameter = (float(row[key]) for key in ("coordX", "coordY", "coordZ", "diameter_mm"))
            except (KeyError, TypeError, ValueError) as error:
                raise TableBroken(f"{name} has a row without position or diameter") from error
            marks[row["seriesuid"]].append(
                Mark(centre_lps=(x, y, z), diameter_mm=max(diameter, 0.0), is_nodule=is_nodule)
            )
    return marks


def candidates_of(folder: Path) -> CandidateCounts | None:
    """What the table of candidates holds; the second edition if both are there, None if neither is."""
    for name in CANDIDATES:
        if (folder / name).exists():
            classes = [row.get("class") for row in _rows(folder / name)]
            return CandidateCounts(places=len(classes), nodules=classes.count("1"))
    return None


def grid_of(path: Path) -> Grid:
    """Where the voxels of a volume are, from its header.

    Raises
    ------
    RuntimeError : it is not a header that SimpleITK can read
    ValueError : not three axes, or axes that are not at right angles
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if reader.GetDimension() != 3:
        raise ValueError(f"{reader.GetDimension()} axes instead of 3")
    axes_ijk = np.array(reader.GetDirection()).reshape(3, 3).T
    if np.abs(axes_ijk @ axes_ijk.T - np.eye(3)).max() > OBLIQUE:
        raise ValueError("the axes of the volume are not at right angles")
    columns, rows, slices = reader.GetSize()
    i, j, k = (_point(axis) for axis in axes_ijk.tolist())
    return Grid(
        shape_kji=(slices, rows, columns),
        spacing_mm=_point(reader.GetSpacing()[::-1]),
        origin_lps=_point(reader.GetOrigin()),
        directions=(k, j, i),
    )


def read(scan: Luna16Scan, lidc: LidcScan | None = None) -> KnownSeries:
    """The voxels of a volume and the nodules in them.

    Parameters
    ----------
    lidc : the same scan in LIDC-IDRI: masks and ratings of the nodule closest to each of LUNA16's

    Raises
    ------
    VolumeUnreadable : see there
    OutlinesMisplaced : `lidc` is another scan
    """
    try:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(scan.path)))
    except RuntimeError as error:
        raise VolumeUnreadable(f"the voxels of {scan.path.name} cannot be read") from error
    hu: HuArray = np.clip(np.rint(values), AIR_HU, np.iinfo(np.int16).max).astype(np.int16)
    hu.setflags(write=False)
    nodules, excluded = nodules_of(scan, lidc)
    return KnownSeries(
        patient_id=scan.patient_id,
        series_uid=scan.series_uid,
        volume=Volume(volume_hu=hu, grid=scan.grid, frame_of_reference_uid=""),
        nodules=nodules,
        excluded=excluded,
    )


def nodules_of(
    scan: Luna16Scan, lidc: LidcScan | None = None
) -> tuple[tuple[KnownNodule, ...], tuple[KnownNodule, ...]]:
    """The nodules and the exclusions of a scan, without its voxels; see `read`."""
    drawn = nodules_on(lidc, scan.grid) if lidc is not None else ()
    known = [(mark, _nodule(scan, number, mark, drawn)) for number, mark in enumerate(scan.marks)]
    nodules = tuple(nodule for mark, nodule in known if mark.is_nodule)
    return nodules, tuple(nodule for mark, nodule in known if not mark.is_nodule)


def _nodule(scan: Luna16Scan, number: int, mark: Mark, drawn: Sequence[KnownNodule]) -> KnownNodule:
    """A mark as a nodule; a nodule with masks and ratings if one that the readers drew lies within its radius."""
    bare = KnownNodule(
        nodule_id=f"luna16:{scan.series_uid}:{number}",
        patient_id=scan.patient_id,
        series_uid=scan.series_uid,
        centre_lps=mark.centre_lps,
        diameter_mm=mark.diameter_mm,
    )
    distances = [float(np.linalg.norm(np.subtract(n.centre_lps, mark.centre_lps))) for n in drawn]
    if not distances or min(distances) > mark.diameter_mm / 2:
        return bare
    nearest = drawn[int(np.argmin(distances))]
    return dataclasses.replace(bare, mask=nearest.mask, readers=nearest.readers, ratings=nearest.ratings)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8-sig") as lines:
        table = csv.DictReader(lines)
        if not set(table.fieldnames or ()) >= COLUMNS:
            raise TableBroken(f"{path.name} has not the columns {', '.join(sorted(COLUMNS))}")
        return list(table)


def _subset(path: Path) -> int | None:
    number = path.parent.name.removeprefix(SUBSET)
    return int(number) if path.parent.name.startswith(SUBSET) and number.isdigit() else None


def _is_inside(grid: Grid, point_lps: Point) -> bool:
    at = grid.kji_from_lps(point_lps)
    return bool((at >= -0.5).all() and (at <= np.array(grid.shape_kji) - 0.5).all())


def _point(values: Sequence[float]) -> Point:
    x, y, z = map(float, values)
    return x, y, z
