"""Label rules, case by case."""

from __future__ import annotations

import pytest

from training.labels.malignancy import Certainty, Label, LabelRule, certainty, is_marginal, label, prior


@pytest.mark.parametrize(
    ("ratings", "rule", "expected"),
    [
        ((), LabelRule.MEDIAN, Label.UNCERTAIN),
        ((), LabelRule.MEAN_ROUNDED, Label.UNCERTAIN),
        ((2, 2, 5), LabelRule.MEDIAN, Label.BENIGN),
        ((2, 4), LabelRule.MEDIAN, Label.UNCERTAIN),
        ((2, 3, 4, 4), LabelRule.MEDIAN, Label.MALIGNANT),
        ((2, 2, 5), LabelRule.MEAN_STRICT3, Label.UNCERTAIN),
        ((3, 3, 2), LabelRule.MEAN_STRICT3, Label.BENIGN),
        ((3, 3, 4), LabelRule.MEAN_STRICT3, Label.MALIGNANT),
        ((2, 3), LabelRule.MEAN_ROUNDED, Label.BENIGN),
        ((3, 4), LabelRule.MEAN_ROUNDED, Label.MALIGNANT),
        ((3, 3, 4), LabelRule.MEAN_ROUNDED, Label.UNCERTAIN),
        ((1, 1, 5, 5), LabelRule.MEDIAN, Label.UNCERTAIN),
        ((1, 2, 4), LabelRule.MEAN_STRICT3, Label.BENIGN),
        ((2, 2, 3, 3), LabelRule.MEAN_ROUNDED, Label.BENIGN),
        ((2, 3, 3, 3), LabelRule.MEAN_ROUNDED, Label.UNCERTAIN),
        ((3, 4, 4, 3), LabelRule.MEAN_ROUNDED, Label.MALIGNANT),
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


@pytest.mark.parametrize(
    ("ratings", "expected"),
    [
        ((3,), Certainty.UNCERTAIN),
        ((2, 4), Certainty.UNCERTAIN),
        ((1, 3, 5), Certainty.UNCERTAIN),
        ((2,), Certainty.MARGINAL),
        ((3, 4), Certainty.MARGINAL),
        ((1, 2), Certainty.CERTAIN),
        ((5, 4), Certainty.CERTAIN),
        ((2, 2, 2), Certainty.CERTAIN),
        ((4, 4, 4, 3), Certainty.CERTAIN),
    ],
)
def test_a_median_of_three_is_uncertain_and_few_middling_ratings_are_marginal(
    ratings: tuple[int, ...], expected: Certainty
) -> None:
    assert certainty(ratings) is expected


@pytest.mark.parametrize(("ratings", "expected"), [((1,), 0.0), ((2,), 0.25), ((3, 4), 0.625), ((1, 5, 5), 1.0)])
def test_the_prior_stretches_the_median_over_nought_to_one(ratings: tuple[int, ...], expected: float) -> None:
    assert prior(ratings) == expected
