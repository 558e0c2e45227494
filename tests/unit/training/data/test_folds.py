"""Every patient is in one fold, each fold has its share, and a stored file says so for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.data.folds import Folds, load, make_folds, read_table, save
from training.data.splits import SplitBroken, guard

STRATA = {f"M{n}": "malignant" for n in range(20)} | {f"B{n}": "benign" for n in range(11)}


def test_each_fold_has_its_share_of_each_stratum_and_each_patient_once() -> None:
    folds = make_folds(STRATA)
    assert sorted(p for part in folds.patients for p in part) == sorted(STRATA)
    # 20 / 5 = 4 or, where the 11 benign ones end unevenly, one more or less; 31 / 5 = 6 or 7
    assert {len(part) for part in folds.patients} == {6, 7}
    assert all(sum(p[0] == "M" for p in part) in {3, 4, 5} for part in folds.patients)
    assert all(sum(p[0] == "B" for p in part) in {2, 3} for part in folds.patients)


def test_the_order_in_which_patients_are_named_does_not_matter() -> None:
    assert make_folds(dict(reversed(STRATA.items()))).sha256 == make_folds(STRATA).sha256


def test_a_fold_validates_what_all_others_train() -> None:
    folds = make_folds(STRATA)
    for number in range(5):
        split = folds.split(number)
        guard(split.train, split.validation)
        assert len(split.train) + len(split.validation) == 31


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(SplitBroken, match="2 patients"):
        make_folds({"P1": "benign", "P2": "benign"}, 3)


def test_stored_folds_come_back_and_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    save(make_folds(STRATA), path)
    assert load(path) == make_folds(STRATA)
    raw = json.loads(path.read_text())
    raw["folds"][0].pop()
    path.write_text(json.dumps(raw))
    with pytest.raises(SplitBroken, match="was changed"):
        load(path)


def test_a_patient_in_two_folds_is_refused(tmp_path: Path) -> None:
    save(Folds(patients=(("P1", "P2"), ("P2",))), tmp_path / "folds.json")
    with pytest.raises(SplitBroken, match="1 patients"):
        load(tmp_path / "folds.json")


def test_official_folds_can_be_dropped_in_by_series(tmp_path: Path) -> None:
    path = tmp_path / "official.csv"
    path.write_text("seriesuid,subset\n1.1,1\n1.2,0\n1.3,1\n1.4,10\n")
    folds = read_table(path, {"1.1": "P1", "1.2": "P2", "1.3": "P1"})
    assert folds.patients == (("P2",), ("P1",), ("1.4",))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,fold\nP1,0\n", "needs a column patient_id"),
        ("patient_id,part\nP1,0\n", "needs a column patient_id"),
        ("patient_id,fold\nP1,train\n", "whole numbers"),
        ("seriesuid,fold\n1.1,0\n1.2,1\n", "more than one fold"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "official.csv"
    path.write_text(table)
    with pytest.raises(SplitBroken, match=message):
        read_table(path, {"1.1": "P1", "1.2": "P1"})
