"""Label rules, case by case."""

from __future__ import annotations

import pytest

from training.labels.malignancy import Label, LabelRule, is_marginal, label


@pytest.mark.parametrize(
    ("ratings", "rule", "expected"),
    [
        ((2, 2, 5), LabelRule.MEDIAN, Label.BENIGN),
        ((2, 4), LabelRule.MEDIAN, Label.UNCERTAIN),
        ((2, 3, 4, 4), LabelRule.MEDIAN, Label.MALIGNANT),
        ((2, 2, 5), LabelRule.MEAN_STRICT3, Label.UNCERTAIN),
        ((3, 3, 2), LabelRule.MEAN_STRICT3, Label.BENIGN),
        ((3, 3, 4), LabelRule.MEAN_STRICT3, Label.MALIGNANT),
        ((2, 3), LabelRule.MEAN_ROUNDED, Label.BENIGN),
        ((3, 4), LabelRule.MEAN_ROUNDED, Label.MALIGNANT),
        ((3, 3, 4), LabelRule.MEAN_ROUNDED, Label.UNCERTAIN),
    ],
)
def test_label_rules(ratings: tuple[int, ...], rule: LabelRule, expected: Label) -> None:
    assert label(ratings, rule) is expected


@pytest.mark.parametrize(
    ("ratings", "marginal"),
    [((2, 2), True), ((4,), True), ((3, 3), False), ((1, 1), False), ((2, 2, 2), False), ((2, 3), True)],
)
def test_marginal_labels_come_from_two_readers_at_most_and_are_neither_extreme_nor_undecided(
    ratings: tuple[int, ...], marginal: bool
) -> None:
    assert is_marginal(ratings) is marginal
