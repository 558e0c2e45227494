"""Whoever has a side keeps it, in every pack; all others are dealt by patient."""

from __future__ import annotations

import pytest

from training.data import sides, splits
from training.data.dicom_seg import pseudonym
from training.data.folds import Folds
from training.data.luna16 import DEMO_PATIENTS
from training.data.sides import COMMITTED_SPLITS, Sides, committed, decided, together
from training.data.splits import Split, SplitBroken

NEW = {f"M{n:02}": "malignant" for n in range(20)} | {f"B{n:02}": "benign" for n in range(10)}
EARLIER = Sides(
    split=Split(train=("A",), validation=("B",), unused=("C",)),
    folds=Folds(patients=(("A",), ("B", "C"), (), (), ())),
)


def test_a_fifth_of_each_stratum_of_new_patients_validates_and_nobody_does_both() -> None:
    made = decided(NEW, [])
    assert (len(made.split.train), len(made.split.validation), made.split.unused) == (24, 6, ())
    assert sum(patient[0] == "M" for patient in made.split.validation) == 4
    assert sorted((*made.split.train, *made.split.validation)) == sorted(NEW)
    splits.guard(made.split.train, made.split.validation)


def test_each_patient_is_in_one_fold_and_the_first_fold_of_new_patients_validates() -> None:
    made = decided(NEW, [])
    assert sorted(patient for part in made.folds.patients for patient in part) == sorted(NEW)
    assert made.folds.patients[0] == made.split.validation


def test_the_order_of_patients_does_not_matter() -> None:
    assert decided(dict(reversed(NEW.items())), [EARLIER]) == decided(NEW, [EARLIER])


def test_patients_of_earlier_packs_keep_side_and_fold_and_absent_ones_are_not_named() -> None:
    made = decided(NEW | {"A": "benign", "B": "malignant"}, [EARLIER])
    assert "A" in made.split.train and "B" in made.split.validation
    assert "A" in made.folds.patients[0] and "B" in made.folds.patients[1]
    assert "C" not in {*made.split.unused, *(p for part in made.folds.patients for p in part)}


def test_of_two_that_know_a_patient_the_first_counts() -> None:
    other = Sides(split=Split(train=("B",), validation=("A",)), folds=Folds(patients=(("B",), ("A",), (), (), ())))
    assert decided({"A": "benign", "B": "benign"}, [EARLIER, other]).split.train == ("A",)
    assert decided({"A": "benign", "B": "benign"}, [other, EARLIER]).split.train == ("B",)


def test_committed_patients_keep_their_side_also_under_the_name_that_a_pacs_gives_them() -> None:
    known = [splits.load(path) for path in COMMITTED_SPLITS]
    train, validation = known[0].train[:3], known[0].validation[:3]
    for name in (str, pseudonym):
        made = decided({name(patient): "benign" for patient in (*train, *validation)} | NEW, [committed()])
        assert {name(patient) for patient in train} <= set(made.split.train)
        assert {name(patient) for patient in validation} <= set(made.split.validation)


def test_the_committed_folds_hold_each_patient_of_the_committed_splits_once() -> None:
    split = together([splits.load(path) for path in COMMITTED_SPLITS])
    dealt = sides.folds.load(sides.COMMITTED_FOLDS)
    patients = [patient for part in dealt.patients for patient in part]
    assert sorted(patients) == sorted((*split.train, *split.validation, *split.unused))
    assert len(patients) == len(set(patients))
    assert [len(part) for part in dealt.patients] == [129, 129, 128, 128, 128]
    assert not DEMO_PATIENTS & set(patients)


def test_who_validates_anywhere_validates_and_who_would_do_both_is_refused() -> None:
    one = Split(train=("A",), validation=("B",), unused=("C", "D"))
    other = Split(train=("A", "D"), validation=("C",))
    assert together([one, other]) == Split(train=("A", "D"), validation=("B", "C"))
    with pytest.raises(SplitBroken) as refused:
        together([one, Split(train=("B",), validation=())])
    assert refused.value.code == "split.broken"
