"""Soft masks of RECIST axes become slices, in a pack too; what cannot be learned from is refused with a reason."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.training.data.test_packs import are_equal
from tests.unit.training.labels.soft_masks.discs import axes, disc, image_hu
from training.data import packs
from training.data.dicom_seg import pseudonym
from training.data.known import Refusal
from training.data.packs import PackWriter
from training.data.slices import EDGE, Slice, at_spacing
from training.data.soft_mask_folder import INDEX, Subject, write
from training.data.soft_mask_slices import averaged, rescaled, slices_of

RADIUS, WIDE, CENTRE = 9.0, 100, 30.0
"""The disc is not in the middle of its image, whose edge is 100 pixels."""


def subject(name: str = "one", radius: float = RADIUS, **fields: Any) -> Subject:
    """A disc of 18 pixels, measured by both of its diameters."""
    known = Subject(
        name=name,
        patient_id="P1",
        series="1.2",
        image="1.2.3",
        pixel_spacing_mm=0.6,
        image_hu_ji=image_hu(disc(radius, WIDE, CENTRE)),
        drawn=axes(radius, CENTRE),
    )
    return dataclasses.replace(known, **fields)


def read(folder: Path) -> tuple[list[tuple[str, Slice]], list[Refusal]]:
    refused: list[Refusal] = []
    return list(slices_of(folder, refused.append)), refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masks") / "masks"
    write([subject()], folder, scale=2)
    return folder


def test_a_measured_nodule_is_a_slice_with_a_hard_mask_and_its_soft_one_in_the_middle(folder: Path) -> None:
    ((series, one),), refused = read(folder)
    assert (series, one.case_id, one.patient_id, one.ratings, refused) == ("1.2", "recist:one", "P1", (), [])
    assert one.is_measured and one.readers_RJI.shape == (1, EDGE, EDGE)
    truth = np.hypot(*(np.mgrid[:EDGE, :EDGE] - EDGE // 2)) <= RADIUS
    assert (one.mask() ^ truth).sum() < 0.05 * truth.sum(), "an edge pixel here and there"
    assert one.soft_JI is not None and one.soft_JI.shape == (2 * EDGE, 2 * EDGE)
    assert np.array_equal(averaged(one.soft_JI, 2) >= 0.5, one.mask())
    assert 0 < ((one.soft_JI > 0.1) & (one.soft_JI < 0.9)).mean() < 0.1, "its edge is soft, the rest is not"
    assert one.image_hu[35, 35] > -200 > one.image_hu[5, 35]
    assert one.image_hu[0, 35] == one.image_hu[5, 35], "above the image its first row is repeated"
    assert (one.pixel_spacing_mm, one.diameter_mm) == (0.6, pytest.approx(2 * RADIUS * 0.6, rel=0.05))


def test_a_pack_gives_it_back_beside_slices_that_readers_drew(folder: Path, tmp_path: Path) -> None:
    ((series, one),), _ = read(folder)
    drawn = dataclasses.replace(one, case_id="drawn", soft_JI=None)
    other = dataclasses.replace(one, case_id="other", soft_JI=rescaled(one.soft_JI, 1))  # type: ignore[arg-type]
    other = dataclasses.replace(other, soft_JI=(np.rint(other.soft_JI * 255) / 255).astype(np.float32))
    with PackWriter(tmp_path) as writer:
        for each in (drawn, one, other):
            writer.add_slice(each, series)
    assert all(map(are_equal, packs.load_slices(tmp_path / "slices"), (drawn, one, other)))


def test_a_pack_from_before_soft_masks_is_read(folder: Path, tmp_path: Path) -> None:
    ((series, one),), _ = read(folder)
    with PackWriter(tmp_path) as writer:
        writer.add_slice(dataclasses.replace(one, soft_JI=None), series)
    table = tmp_path / "slices/slices.jsonl"
    table.write_text(table.read_text().replace(', "soft_edge": 0', ""))
    with np.load(tmp_path / "slices/pixels-0000.npz") as pixels:
        arrays = {name: pixels[name] for name in pixels.files if name != "soft"}
    np.savez(tmp_path / "slices/pixels-0000.npz", **arrays)
    (again,) = packs.load_slices(tmp_path / "slices")
    assert again.soft_JI is None and np.array_equal(again.image_hu, one.image_hu)


def test_a_soft_mask_gets_the_grid_that_a_network_has_by_hand() -> None:
    soft = np.zeros((4 * EDGE, 4 * EDGE), np.float32)
    soft[:4, :4] = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]]
    assert rescaled(soft, 2)[:2, :2].tolist() == [[0, 1], [0.25, 0.75]]
    assert rescaled(soft, 1)[0, 0] == 0.5
    assert np.array_equal(rescaled(soft, 4), soft)
    third = rescaled(soft[:EDGE, :EDGE], 3)
    assert third.shape == (3 * EDGE, 3 * EDGE) and (third[:3, 6:9] == 1).all() and third[9:12, :3].max() == 0


def test_a_slice_in_larger_pixels_shows_the_same_nodule_smaller(folder: Path) -> None:
    ((_, one),), _ = read(folder)
    other = at_spacing(one, 0.9)
    assert other.is_measured and other.pixel_spacing_mm == 0.9
    area, before = other.mask().sum() * 0.9**2, one.mask().sum() * 0.6**2
    assert area == pytest.approx(before, rel=0.05)
    rows, columns = np.nonzero(other.mask())
    assert (rows.mean(), columns.mean()) == (pytest.approx(35, abs=0.5), pytest.approx(35, abs=0.5))


def test_what_cannot_be_learned_from_is_refused_by_its_code(tmp_path: Path) -> None:
    large = subject("large", 40.0, image_hu_ji=image_hu(disc(40.0, 140, 70.0)), drawn=axes(40.0, 70.0))
    readers = np.array([disc(r, WIDE, CENTRE) for r in (8, 9)])
    unread = dataclasses.replace(subject("unread"), patient_id="P2")
    items = [
        Refusal(code="image.absent", subject="absent", text="It is not here."),
        subject("rejected", drawn=np.zeros((2, WIDE, WIDE), bool)),
        subject("readers", drawn=readers),
        subject("nobody's", patient_id=""),
        subject("demo", patient_id=pseudonym("LIDC-IDRI-0001")),
        subject("unspaced", pixel_spacing_mm=None),
        large,
        unread,
    ]
    rows = write(items, tmp_path / "masks", scale=1)
    (tmp_path / "masks" / rows[-1].file).unlink()
    found, refused = read(tmp_path / "masks")
    assert found == []
    assert [(one.subject, one.code) for one in refused] == [
        ("absent", "image.absent"),
        ("rejected", "mask.empty"),
        ("readers", "soft-mask.of-readers"),
        ("nobody's", "soft-mask.no-patient"),
        ("demo", "patient.demo"),
        ("unspaced", "soft-mask.no-spacing"),
        ("large", "soft-mask.too-large"),
        ("unread", "soft-mask.broken"),
    ]


def test_a_table_without_its_columns_is_refused_row_by_row(folder: Path, tmp_path: Path) -> None:
    with (folder / INDEX).open(newline="") as file:
        (row,) = csv.DictReader(file)
    with (tmp_path / INDEX).open("w", newline="") as file:
        table = csv.DictWriter(file, [name for name in row if name != "pixel_spacing_mm"], extrasaction="ignore")
        table.writeheader()
        table.writerow(row)
    found, refused = read(tmp_path)
    assert (found, [one.code for one in refused]) == ([], ["soft-mask.broken"])
