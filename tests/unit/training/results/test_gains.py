"""The gain of one run over another is that of the same cases, patients drawn in pairs."""

from __future__ import annotations

from tests.unit.training.results.records import cases
from training.results.gains import gain

LOW = cases([0.5, 0.7, 0.6, 0.8])


def test_the_gain_in_dice_is_the_mean_of_the_differences() -> None:
    found = gain(cases([0.6, 0.9, 0.6, 0.8]), LOW, "dice")
    assert found is not None
    assert found["value"] == 0.075
    assert found["interval_95"] == [0.0, 0.15], "the first patient gains 0.15 in the mean, the second nothing"
    assert found["patients"] == 2


def test_a_gain_that_all_patients_share_has_no_width_however_much_the_cases_differ() -> None:
    found = gain(cases([0.6, 0.8, 0.7, 0.9]), LOW, "dice")
    assert found == {"value": 0.1, "interval_95": [0.1, 0.1], "patients": 2}


def test_malignancy_is_compared_by_auc_and_by_decisions() -> None:
    """Numbers 1 and 3 are malignant. Ours ranks all rightly and decides three; theirs ranks and decides all wrongly."""
    ours = cases([0.5] * 4, malignancy=[0.1, 0.6, 0.2, 0.4])
    theirs = cases([0.5] * 4, malignancy=[0.9, 0.1, 0.8, 0.2])
    auc, accuracy = gain(ours, theirs, "auc"), gain(ours, theirs, "accuracy")
    assert auc is not None and auc["value"] == 1.0
    assert accuracy is not None and accuracy["value"] == 0.75


def test_cases_whose_readers_do_not_say_are_left_out_of_malignancy() -> None:
    ours, theirs = cases([0.5] * 4, malignancy=[0.1, 0.6, 0.2, 0.9]), cases([0.5] * 4, malignancy=[0.1, 0.6, 0.2, 0.1])
    unsaid = {"is_malignant": [0.0, 1.0, 0.0, None]}
    found = gain({**ours, **unsaid}, {**theirs, **unsaid}, "accuracy")
    assert found is not None and found["value"] == 0.0, "they differ in the last case only"


def test_runs_that_list_no_cases_or_other_ones_have_no_gain() -> None:
    assert gain({}, LOW, "dice") is None and gain(LOW, {}, "dice") is None
    assert gain(cases([0.5, 0.7, 0.6, 0.8], sha256="1"), LOW, "dice") is None
    assert gain(LOW, LOW, "auc") is None, "neither answers malignancy"


def test_other_labels_forbid_comparing_malignancy_and_not_the_outline() -> None:
    ours = cases([0.5, 0.7], malignancy=[0.1, 0.9])
    others = {**ours, "is_malignant": [1.0, 0.0]}
    assert gain(ours, others, "auc") is None
    assert gain(ours, others, "dice") is not None
