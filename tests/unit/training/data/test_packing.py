"""Folders of any kind become one pack; patients keep their sides, and what is not used is named."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.site import site_case, site_cases
from tests.support.torch_networks import a_nodule
from tests.unit.training.data.test_deeplesion import ROW
from tests.unit.training.data.test_deeplesion import a_folder as a_deeplesion_folder
from tests.unit.training.data.test_packs import are_equal
from training.data import luna16, packs, slices, splits
from training.data.dicom_seg import pseudonym
from training.data.inspection import NothingFound
from training.data.luna16 import Nodule
from training.data.packing import NothingToPack, Packed, PackTaken, TooFewPatients, pack
from training.data.packs import PackWriter
from training.data.reading import drawn_in
from training.data.sides import COMMITTED_SPLITS

SHARED = Path(__file__).parents[4] / "../shared/data"
COMMITTED = splits.load(COMMITTED_SPLITS[0])


def packed(out: Path, *folders: Path) -> Packed:
    return pack(folders, out, lambda text: None)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients, and a CT that nobody has marked."""
    folder = site_cases(tmp_path_factory.mktemp("site"), 3)
    (site_case(folder / "4", "SITE-4") / "seg.dcm").unlink()
    return folder


def a_shared_folder(folder: Path, nodules: list[Nodule]) -> Path:
    """Patches as the shared data hold them; HU in steps of 4."""
    (folder / "luna16_nodules").mkdir(parents=True)
    steps = np.stack([nodule.patch_hu // 4 for nodule in nodules]).astype(np.int32)
    for axis in (1, 2, 3):
        steps = np.diff(steps, axis=axis, prepend=0)
    zigzag = np.where(steps >= 0, 2 * steps, -2 * steps - 1)
    masks = np.stack([nodule.mask.ravel() for nodule in nodules])
    np.savez(
        folder / "luna16_nodules" / "patches-00.npz",
        lo=(zigzag & 255).astype(np.uint8),
        hi=(zigzag >> 8).astype(np.uint8),
        mask=np.packbits(masks, axis=1),
    )
    rows = [
        {
            "file": "patches-00.npz",
            "index": number,
            "patient_id": nodule.patient_id,
            "series_uid": nodule.series_uid,
            **dict.fromkeys(("origin_x_mm", "origin_y_mm", "origin_z_mm"), 0),
            "diameter_mm": nodule.diameter_mm,
            "malignancy_ratings": " ".join(map(str, nodule.ratings)),
            "mask_mm3": int(nodule.mask.sum()),
        }
        for number, nodule in enumerate(nodules)
    ]
    with (folder / "luna16_nodules" / "nodules.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def of_patients(*patients: str) -> list[Nodule]:
    """A nodule each, in a series of their own."""
    return [dataclasses.replace(a_nodule(patient), series_uid=f"1.{patient}") for patient in patients]


def test_segmented_nodules_come_out_of_the_pack_as_they_are_read(tmp_path: Path, site: Path) -> None:
    made = packed(tmp_path / "pack", site)
    read = list(drawn_in(site, lambda refusal: None))
    assert (len(read), made.nodules, made.slices) == (6, {"dicom": 6}, {"dicom": 6})
    nodules, cut = packs.load_nodules(tmp_path / "pack/nodules"), packs.load_slices(tmp_path / "pack/slices")
    assert all(are_equal(one, drawn.patch) for one, drawn in zip(nodules, read, strict=True))
    assert all(d.largest is not None and are_equal(one, d.largest) for one, d in zip(cut, read, strict=True))
    assert [one.code for one in made.refusals] == ["ct.no-marks"]
    assert packs.about(tmp_path / "pack") == {
        "synthetic": False,
        "nodules": {"dicom": 6},
        "slices": {"dicom": 6},
        "backgrounds": 0,
        "automatic": 6,  # the node wrote them, and nobody has looked
        "patients": 3,
        "refusals": {"ct.no-marks": 1},
    }


def test_patients_are_split_and_nobody_can_read_who_they_are(tmp_path: Path, site: Path) -> None:
    made = packed(tmp_path / "pack", site)
    split = splits.load(tmp_path / "pack/split.json")
    assert split == made.sides.split
    assert (len(split.train), len(split.validation)) == (2, 1)
    assert {*split.train, *split.validation} == {pseudonym(f"SITE-{n}") for n in (1, 2, 3)}
    assert (made.of(split.train), made.of(split.validation)) == ((4, 4), (2, 2))
    for path in (tmp_path / "pack").rglob("*"):
        assert path.is_dir() or b"SITE-" not in path.read_bytes()


def test_site_and_shared_data_become_one_pack_and_committed_sides_hold(tmp_path: Path, site: Path) -> None:
    train, validation = COMMITTED.train[:3], COMMITTED.validation[:2]
    shared = a_shared_folder(tmp_path / "shared", of_patients(*train, *validation, "LIDC-IDRI-0001"))
    made = packed(tmp_path / "pack", site, shared)
    assert made.nodules == {"dicom": 6, "luna16_nodules": 5}
    assert set(train) <= set(made.sides.split.train)
    assert set(validation) <= set(made.sides.split.validation)
    assert made.sides.split.unused == ()
    original = {one.nodule_id: one for one in luna16.load(shared / "luna16_nodules")}
    again = {one.nodule_id: one for one in packs.load_nodules(tmp_path / "pack/nodules")}
    assert all(are_equal(again[name], nodule) for name, nodule in original.items())


def test_a_committed_patient_who_comes_from_a_pacs_keeps_his_side_and_the_demo_s_is_refused(tmp_path: Path) -> None:
    names = (COMMITTED.train[0], COMMITTED.validation[0], "LIDC-IDRI-0001")
    for name in names:
        site_case(tmp_path / "site" / name, name)
    made = packed(tmp_path / "pack", tmp_path / "site")
    assert made.sides.split.train == (pseudonym(names[0]),)
    assert made.sides.split.validation == (pseudonym(names[1]),)
    assert [one.code for one in made.refusals] == ["patient.demo", "ct.no-marks"]


def test_an_earlier_pack_grows_and_its_patients_keep_their_sides(tmp_path: Path, site: Path) -> None:
    before = packed(tmp_path / "before", site).sides
    more = a_shared_folder(tmp_path / "more", of_patients(*(f"N{n}" for n in range(10))))
    after = packed(tmp_path / "after", more, tmp_path / "before").sides
    assert set(before.split.train) <= set(after.split.train)
    assert set(before.split.validation) <= set(after.split.validation)
    for earlier, later in zip(before.folds.patients, after.folds.patients, strict=True):
        assert set(earlier) <= set(later)
    assert packs.load_slices(tmp_path / "after/slices")


def test_a_series_that_two_folders_hold_is_packed_once(tmp_path: Path, site: Path) -> None:
    packed(tmp_path / "before", site)
    made = packed(tmp_path / "after", tmp_path / "before", site)
    assert (made.nodules, made.slices) == ({"nodules": 6}, {"slices": 6})
    assert {one.code for one in made.refusals} == {"pack.twice", "ct.no-marks"}
    assert made.automatic == 6


def test_nothing_is_written_over(tmp_path: Path, site: Path) -> None:
    (tmp_path / "pack").mkdir()
    with pytest.raises(PackTaken) as refused:
        packed(tmp_path / "pack", site)
    assert refused.value.code == "pack.folder"
    assert list(tmp_path.iterdir()) == [tmp_path / "pack"]


def test_what_gives_nothing_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingFound) as absent:
        packed(tmp_path / "out/pack", tmp_path / "empty")
    (tmp_path / "deeplesion").mkdir()
    measured = a_deeplesion_folder(tmp_path / "deeplesion", ROW)
    with pytest.raises(NothingToPack, match=r"1 x nodule\.not-drawn") as useless:
        packed(tmp_path / "out/pack", measured)
    alone = a_shared_folder(tmp_path / "alone", of_patients("P1"))
    with pytest.raises(TooFewPatients, match="of 1 patients 0 would train") as few:
        packed(tmp_path / "out/pack", alone)
    codes = [error.value.code for error in (absent, useless, few)]
    assert codes == ["data.nothing", "pack.nothing", "pack.patients"]
    assert list((tmp_path / "out").iterdir()) == []


def test_a_pack_that_was_changed_is_not_packed_again(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "pack") as writer:
        for nodule in of_patients("P1", "P2"):
            writer.add_nodule(nodule)
    with pytest.raises(splits.SplitBroken):
        packed(tmp_path / "again", tmp_path / "pack")
    (tmp_path / "pack/split.json").write_text(json.dumps({"sha256": "", "train": [], "validation": [], "unused": []}))
    with pytest.raises(splits.SplitBroken, match="was changed"):
        packed(tmp_path / "again", tmp_path / "pack")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there")
def test_a_pack_of_the_shared_slices_is_the_shared_slices(tmp_path: Path) -> None:
    made = packed(tmp_path / "pack", SHARED / "lidc_slices")
    original = slices.load_lidc(SHARED / "lidc_slices")
    assert made.slices == {"lidc_slices": len(original)}
    assert all(map(are_equal, packs.load_slices(tmp_path / "pack/slices"), original))
    committed = splits.load(COMMITTED_SPLITS[1])
    assert made.sides.split.train == committed.train
    assert set(committed.validation) <= set(made.sides.split.validation)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there")
def test_a_pack_of_shared_nodules_is_the_shared_nodules(tmp_path: Path) -> None:
    """The fifty of the first file."""
    some = tmp_path / "luna16_nodules"
    some.mkdir()
    (some / "patches-00.npz").symlink_to((SHARED / "luna16_nodules/patches-00.npz").resolve())
    rows = (SHARED / "luna16_nodules/nodules.csv").read_text().splitlines(keepends=True)
    (some / "nodules.csv").write_text("".join(row for row in rows if row.startswith(("file", "patches-00"))))
    made = packed(tmp_path / "pack", some)
    original = luna16.load(some)
    assert made.nodules == {"luna16_nodules": 50}
    assert all(map(are_equal, packs.load_nodules(tmp_path / "pack/nodules"), original))
    assert set(made.sides.split.train) == {one.patient_id for one in original} & set(COMMITTED.train)
    assert set(COMMITTED.validation) & {one.patient_id for one in original} <= set(made.sides.split.validation)
