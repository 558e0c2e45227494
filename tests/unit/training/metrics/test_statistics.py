"""Figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.metrics.froc import ScanCase, cpm, false_per_scan, sensitivity, sensitivity_at
from training.metrics.overlap import dice
from training.metrics.statistics import area_under_roc, average_precision, figure, mean

CASES = [
    ScanCase(name="a", hit_scores=(0.9, 0.3), false_scores=(0.8, 0.2)),
    ScanCase(name="b", hit_scores=(0.7, 0.0), false_scores=(0.5,)),
]


def test_sensitivity_and_false_findings_at_a_score() -> None:
    assert sensitivity(CASES, 0.6) == 0.5
    assert false_per_scan(CASES, 0.6) == 0.5
    assert false_per_scan(CASES, 0.1) == 1.5


def test_a_missed_nodule_stays_missed_at_every_rate() -> None:
    assert sensitivity_at(CASES, 8.0) == 0.75


def test_cpm_is_the_mean_over_seven_rates() -> None:
    # up to 1/4 false per scan only the hit at 0.9 counts; at 1/2 the one at 0.7 too; at 1 the one at 0.3, as the false
    # ones at 0.8 and 0.5 are all that lie above it
    assert cpm(CASES) == pytest.approx((0.25 + 0.25 + 0.5 + 0.75 * 4) / 7)


def test_auc_counts_pairs_and_half_of_the_ties() -> None:
    # positives 0.8, 0.5; negatives 0.5, 0.1: of four pairs three are right and one is a tie
    assert area_under_roc([0.8, 0.5, 0.5, 0.1], [True, True, False, False]) == 0.875


def test_auc_needs_both_kinds() -> None:
    assert np.isnan(area_under_roc([0.1, 0.2], [True, True]))


def test_the_interval_is_over_patients_not_over_cases() -> None:
    one_patient = figure({"p": [0.0, 1.0]}, mean)
    assert (one_patient.value, one_patient.low, one_patient.high) == (0.5, 0.5, 0.5)
    two_patients = figure({"p": [0.0], "q": [1.0]}, mean)
    assert (two_patients.value, two_patients.low, two_patients.high) == (0.5, 0.0, 1.0)


def test_undefined_figures_are_null_in_json() -> None:
    assert figure({"p": []}, mean).to_json() == {"value": None, "interval_95": [None, None], "patients": 1}


def test_dice_by_hand_and_of_empty_masks() -> None:
    one, other = np.array([True, True, False]), np.array([False, True, True])
    assert dice(one, other) == 0.5
    assert dice(np.zeros(3, bool), np.zeros(3, bool)) == 1.0
    assert dice(one, np.zeros(3, bool)) == 0.0


def test_average_precision_of_four_cases_worked_by_hand() -> None:
    """Ranks + - + -: precision 1 at recall 1/2, 2/3 at recall 1."""
    assert average_precision([0.9, 0.8, 0.7, 0.1], [True, False, True, False]) == pytest.approx((1 + 2 / 3) / 2)


def test_average_precision_of_a_constant_score_is_the_prevalence_where_the_roc_area_is_a_half() -> None:
    positive = [True, False, False, False]
    assert average_precision([0.5] * 4, positive) == pytest.approx(0.25)
    assert area_under_roc([0.5] * 4, positive) == pytest.approx(0.5)


def test_average_precision_is_undefined_without_positives() -> None:
    assert math.isnan(average_precision([0.1, 0.2], [False, False]))
