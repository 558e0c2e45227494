"""Each kind of folder is recognised and counted, and what cannot be used is named."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from pacs_node.report import compose
from tests.support.results import a_request, as_bytes, balls_hu, case_from_files
from tests.support.series import a_series
from tests.unit.training.data.test_deeplesion import ROW
from tests.unit.training.data.test_deeplesion import a_folder as a_deeplesion_folder
from tests.unit.training.data.test_luna16_mhd import a_folder as a_luna16_folder
from tests.unit.training.data.test_phantom_folder import a_phantom
from training.data.inspection import Inspection, NothingFound, inspect
from training.data.inspection.packs import LUNA16_SPLIT
from training.data.inspection.verdict import Fact, concluded
from training.data.kinds import Kind
from training.data.known import Refusal
from training.data.splits import load
from training.labels.malignancy import Label

DATA = Path(__file__).parents[5] / "../shared/data"


def inspected(folder: Path) -> dict[Kind, Inspection]:
    return {inspection.kind: inspection for inspection in inspect(folder, lambda done, total: None)}


def test_an_empty_folder_is_an_error_that_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NothingFound, match="annotations.csv"):
        inspected(tmp_path)


def test_nodules_readers_labels_and_patients_are_counted_and_five_folds_made() -> None:
    facts = [
        Fact(patient_id=f"P{n % 10}", series_uid=f"1.{n % 10}", readers=n % 3, ratings=(1 + n % 5,)) for n in range(20)
    ]
    found = concluded(Path("x"), Kind.LIDC, [*facts, Refusal(code="a.b", subject="c", text="d")], series=["1.99"])
    assert (found.nodules, found.patients, found.series) == (20, 10, 11)
    assert found.readers == ((0, 7), (1, 7), (2, 6))
    assert dict(found.labels) == {Label.BENIGN: 8, Label.MALIGNANT: 8, Label.UNCERTAIN: 4}
    assert found.refusals_by_code == {"a.b": 1}
    assert found.split is not None
    assert (found.split.train, found.split.validation) == ((8, 16), (2, 4))


def test_one_patient_alone_cannot_be_split() -> None:
    found = concluded(Path("x"), Kind.LIDC, [Fact(patient_id="P", series_uid="1", readers=1)])
    assert found.is_usable
    assert found.split is None


def a_pack(folder: Path, *rows: dict[str, object]) -> Path:
    """Patches with masks of 5 and 6 voxels, and a table."""
    masks = np.zeros((2, 50**3), bool)
    masks[0, :5] = masks[1, :6] = True
    np.savez(folder / "patches-00.npz", mask=np.packbits(masks, axis=1))
    with (folder / "nodules.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["file", "index", "patient_id", "series_uid", "malignancy_ratings", "mask_mm3"])
        table.writeheader()
        table.writerows(rows)
    return folder


def test_nodule_packs_are_held_to_their_table_and_to_the_committed_split(tmp_path: Path) -> None:
    train = load(LUNA16_SPLIT).train[0]
    row = {
        "file": "patches-00.npz",
        "index": 0,
        "patient_id": train,
        "series_uid": "1.2",
        "malignancy_ratings": "5 4 4",
        "mask_mm3": 5,
    }
    changes: list[dict[str, object]] = [
        {},
        {"index": 1},  # the mask has 6 voxels
        {"index": 2},
        {"patient_id": "LIDC-IDRI-0001"},
        {"patient_id": "stranger"},
        {"file": "gone.npz"},
        {"malignancy_ratings": "five"},
    ]
    found = inspected(a_pack(tmp_path, *(row | change for change in changes)))[Kind.LUNA16_NODULES]
    assert (found.nodules, dict(found.labels)[Label.MALIGNANT]) == (1, 1)
    assert found.refusals_by_code == {
        "pack.mask": 1,
        "pack.row": 2,
        "patient.demo": 1,
        "patient.unknown": 1,
        "pack.unreadable": 1,
    }
    assert found.split is not None
    assert (found.split.train, found.split.validation) == ((1, 1), (0, 0))


def test_slice_packs_need_pixels_for_every_line(tmp_path: Path) -> None:
    train = load(LUNA16_SPLIT).train[0]
    reader = {"reader_annotation": 1, "malignancy": 4}
    lines = [
        {"patient_id": train, "series_uid": "1", "readers": [reader, reader | {"reader_annotation": 2}]},
        {"patient_id": train, "series_uid": "1"},
        {"patient_id": train, "series_uid": "1", "readers": [reader]},
    ]
    with gzip.open(tmp_path / "slices.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    np.savez(tmp_path / "slices.npz", lo=np.zeros((2, 71, 71), np.uint8))
    found = inspected(tmp_path)[Kind.LIDC_SLICES]
    assert found.readers == ((2, 1),)
    assert found.refusals_by_code == {"pack.row": 1, "pack.unreadable": 1}


def test_luna16_says_which_marks_have_no_volume(tmp_path: Path) -> None:
    found = inspected(a_luna16_folder(tmp_path, excluded="-1"))[Kind.LUNA16]
    assert (found.nodules, found.series) == (1, 1)
    assert found.remarks[-3:] == (
        "the tables mark 1 series that are not here",
        "1 exclusions count neither as nodules nor as false findings",
        "1 official subsets by the names of the folders",
    )


def test_deeplesion_counts_lung_lesions_that_nobody_drew(tmp_path: Path) -> None:
    found = inspected(a_deeplesion_folder(tmp_path, ROW, ROW | {"Coarse_lesion_type": "1"}))[Kind.DEEPLESION]
    assert (found.nodules, found.readers) == (1, ((0, 1),))
    assert found.refusals_by_code == {"recist.not-lung": 1}
    assert "label soft-masks" in found.remarks[0]


def test_phantoms_are_called_synthetic(tmp_path: Path) -> None:
    found = inspected(a_phantom(tmp_path / "one").parent)[Kind.PHANTOMS]
    assert (found.nodules, found.patients) == (1, 1)
    assert found.remarks[0].startswith("synthetic")


def test_pairs_are_told_from_cts_that_nobody_marked(tmp_path: Path) -> None:
    case, _ = case_from_files(a_series(tmp_path / "ct", hu=balls_hu, slices=24, size=(48, 48)))
    (tmp_path / "seg.dcm").write_bytes(as_bytes(compose(a_request(case))[0].dataset))
    a_series(tmp_path / "other", slices=24, size=(16, 16), study="2", series="2")
    a_series(tmp_path / "short", slices=4, size=(16, 16), study="3", series="3")
    found = inspected(tmp_path)
    assert found[Kind.DICOM_PAIRS].nodules == 2
    assert found[Kind.DICOM_PAIRS].remarks[0].startswith("2 segments say that no person")
    assert not found[Kind.BARE_CTS].is_usable
    assert sorted(found[Kind.BARE_CTS].refusals_by_code) == ["ct.no-marks", "series.too-few-slices"]


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")
def test_the_shared_packs_hold_what_their_readme_says() -> None:
    nodules = inspected(DATA / "luna16_nodules")[Kind.LUNA16_NODULES]
    assert (nodules.nodules, nodules.patients, nodules.refusals) == (819, 414, ())
    assert nodules.split is not None
    assert [patients for patients, _ in (nodules.split.train, nodules.split.validation, nodules.split.unused)] == [
        312,
        88,
        14,
    ]
    slices = inspected(DATA / "lidc_slices")[Kind.LIDC_SLICES]
    assert (slices.nodules, slices.patients, slices.refusals) == (1991, 642, ())
    readers = dict(slices.readers)
    # 1,033 by three or more, 655 by four or more
    assert sum(count for n, count in readers.items() if n >= 3) == 1033
    assert sum(count for n, count in readers.items() if n >= 4) == 655


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")
def test_the_demo_s_patient_is_refused_and_no_other_ct_of_the_shared_folder_has_marks() -> None:
    found = inspected(DATA / "ct")
    assert found[Kind.LIDC].refusals_by_code == {"patient.demo": 1}
    # one CT of CPTAC, two of ACRIN in one folder
    assert found[Kind.BARE_CTS].refusals_by_code == {"ct.no-marks": 3}
    assert not any(inspection.is_usable for inspection in found.values())
