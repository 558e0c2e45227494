"""The papers' triples that no test set can have are found out."""

from __future__ import annotations

import math

import pytest

from training.metrics.consistency import are_consistent, decisions, implied_prevalence


def test_decisions_of_five_cases() -> None:
    found = decisions([0.9, 0.6, 0.4, 0.5, 0.1], [True, True, True, False, False], 0.5)
    assert found.accuracy == pytest.approx(3 / 5)
    assert (found.sensitivity, found.specificity) == pytest.approx((2 / 3, 1 / 2))
    assert found.prevalence == pytest.approx(3 / 5)
    assert are_consistent(found)


def test_without_negatives_there_is_no_specificity() -> None:
    assert math.isnan(decisions([0.9], [True], 0.5).specificity)


def test_the_two_rows_of_mt_net_s_table_4_need_two_different_test_sets() -> None:
    """ACC, SEN and SPE of paper 2, table 4: without and with the coarse mask."""
    assert implied_prevalence(84.2, 80.1, 92.5) == pytest.approx(0.67, abs=0.01)
    assert implied_prevalence(91.9, 81.4, 95.0) == pytest.approx(0.23, abs=0.01)


def test_any_prevalence_fits_when_sensitivity_equals_specificity() -> None:
    assert math.isnan(implied_prevalence(0.9, 0.9, 0.9))
