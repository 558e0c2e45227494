"""Packing shapes from a small database of the same form."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from training.data.phantom.lidc_packing import pack
from training.data.phantom.lidc_shapes import NoduleShape, read

PIXEL_MM = 0.75
SCHEMA = """
CREATE TABLE scans (id INTEGER, patient_id TEXT, slice_thickness FLOAT, pixel_spacing FLOAT);
CREATE TABLE annotations (id INTEGER, scan_id INTEGER, subtlety INTEGER, calcification INTEGER, sphericity INTEGER,
    margin INTEGER, lobulation INTEGER, spiculation INTEGER, texture INTEGER, malignancy INTEGER);
CREATE TABLE contours (id INTEGER, annotation_id INTEGER, inclusion BOOLEAN, image_z_position FLOAT, coords TEXT);
"""


def a_database(path: Path, *, widths: tuple[int, ...], patient: str = "LIDC-IDRI-0099", thickness: float = 1.5) -> Path:
    """Readers who each outline a box of `widths[n]` pixels, outline included, on five slices, 1.5 mm apart."""
    with sqlite3.connect(path) as database:
        database.executescript(SCHEMA)
        database.execute("INSERT INTO scans VALUES (1, ?, ?, ?)", (patient, thickness, PIXEL_MM))
        for reader, width in enumerate(widths, start=1):
            database.execute("INSERT INTO annotations VALUES (?, 1, 5, 6, 4, 4, 1, 1, 5, ?)", (reader, reader))
            outline = "\n".join(
                f"{x},{y}" for x, y in ((100, 100), (100, 99 + width), (99 + width, 99 + width), (99 + width, 100))
            )
            rows = [(reader, reader, True, -20.0 + 1.5 * n, outline) for n in range(5)]
            database.executemany("INSERT INTO contours VALUES (?, ?, ?, ?, ?)", rows)
    return path


def packed(tmp_path: Path, widths: tuple[int, ...]) -> NoduleShape:
    """The one shape of a database, packed and read."""
    database = a_database(tmp_path / f"{widths}.sqlite", widths=widths)
    assert pack(database, frozenset({"LIDC-IDRI-0099"}), tmp_path / "shapes.npz") == 1
    return read(tmp_path / "shapes.npz")[0]


def test_the_consensus_of_equal_outlines_is_their_volume(tmp_path: Path) -> None:
    shape = packed(tmp_path, (10, 10, 10))
    # 10 pixels with the outline = 7.5 mm; 5 slices of 1.5 mm = 7.5 mm, rounded off at both ends
    assert shape.diameter_mm == pytest.approx((6 * 7.5**3 / np.pi) ** (1 / 3), rel=0.08)
    assert shape.ratings["malignancy"] == 2
    assert shape.ratings["texture"] == 5


def test_a_voxel_belongs_to_a_nodule_if_half_of_the_readers_say_so(tmp_path: Path) -> None:
    assert packed(tmp_path, (8, 8, 16, 16)).voxels.shape[1:] == pytest.approx((16, 16), abs=1)
    assert packed(tmp_path, (8, 8, 8, 16)).voxels.shape[1:] == pytest.approx((8, 8), abs=1)


@pytest.mark.parametrize(
    ("widths", "patient", "thickness"),
    [
        pytest.param((10, 10), "LIDC-IDRI-0099", 1.5, id="two readers only"),
        pytest.param((10, 10, 10), "LIDC-IDRI-0098", 1.5, id="patient not allowed"),
        pytest.param((10, 10, 10), "LIDC-IDRI-0001", 1.5, id="patient of the demo"),
        pytest.param((10, 10, 10), "LIDC-IDRI-0099", 3.0, id="thick slices"),
        pytest.param((2, 2, 2), "LIDC-IDRI-0099", 1.5, id="under 4 mm"),
    ],
)
def test_other_nodules_are_not_packed(tmp_path: Path, widths: tuple[int, ...], patient: str, thickness: float) -> None:
    database = a_database(tmp_path / "a.sqlite", widths=widths, patient=patient, thickness=thickness)
    allowed = frozenset({"LIDC-IDRI-0099", "LIDC-IDRI-0001"})
    assert pack(database, allowed, tmp_path / "shapes.npz") == 0
