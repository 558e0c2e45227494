"""Sensitivity at a number of false findings, counted by hand."""

from __future__ import annotations

import math

from training.metrics.froc import ScanCase, cpm, sensitivity_allowing, sensitivity_at

CASES = (
    ScanCase(name="A", hit_scores=(0.9, 0.5), false_scores=(0.8, 0.3)),
    ScanCase(name="B", hit_scores=(0.6, 0.0), false_scores=(0.4,)),
)


def test_sensitivity_is_the_highest_with_no_more_than_so_many_false_findings_per_scan() -> None:
    # none allowed: above 0.8; one in two scans: above 0.4; two: above 0.3; all: what was found at all
    assert [sensitivity_at(CASES, rate) for rate in (0.25, 0.5, 1.0, 1.5)] == [0.25, 0.75, 0.75, 0.75]
    assert cpm(CASES) == (2 * 0.25 + 5 * 0.75) / 7


def test_a_nodule_as_certain_as_the_first_refused_false_finding_is_not_found() -> None:
    assert sensitivity_allowing([0.5, 0.7], [0.5], 0.9) == 0.5
    assert sensitivity_allowing([0.5, 0.7], [0.5], 1.0) == 1.0


def test_a_nodule_that_was_not_found_is_found_at_no_rate_and_without_nodules_nothing_is_known() -> None:
    assert sensitivity_allowing([0.0, 0.2], [], 100.0) == 0.5
    assert math.isnan(sensitivity_allowing([], [0.5], 1.0))
