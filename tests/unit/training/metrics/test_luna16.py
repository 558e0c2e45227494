"""The challenge's rules on scans that are small enough to be counted by hand."""

from __future__ import annotations

import math

import pytest

from training.metrics.luna16 import MISSED, Annotation, LunaCase, Mark, cpm, curve, froc, judged, sensitivity_at


def _mark(x: float, score: float) -> Mark:
    return Mark(centre_mm=(x, 0.0, 0.0), score=score)


def _finding(x: float, diameter: float = 10.0) -> Annotation:
    return Annotation(centre_mm=(x, 0.0, 0.0), diameter_mm=diameter)


def _case(name: str, hits: tuple[float, ...], false: tuple[float, ...]) -> LunaCase:
    return LunaCase(name=name, hit_scores=hits, false_scores=false)


def test_a_hit_is_nearer_than_the_radius_and_not_as_near() -> None:
    case = judged("scan", [_mark(4.99, 0.7), _mark(5.0, 0.9)], [_finding(0)])
    assert case == _case("scan", (0.7,), (0.9,))


def test_distance_is_measured_along_all_axes() -> None:
    marks = [Mark(centre_mm=(3.0, 3.0, 3.0), score=0.5)]  # 5.196 mm away
    assert judged("scan", marks, [_finding(0)]).false_scores == (0.5,)
    assert judged("scan", marks, [_finding(0, 10.4)]).hit_scores == (0.5,)


def test_the_highest_score_on_a_nodule_counts_and_the_others_are_ignored() -> None:
    assert judged("scan", [_mark(1, 0.3), _mark(2, 0.8), _mark(-1, 0.5)], [_finding(0)]) == _case("scan", (0.8,), ())


def test_a_candidate_on_an_excluded_finding_is_neither_right_nor_wrong() -> None:
    case = judged("scan", [_mark(30, 0.9), _mark(60, 0.4)], [_finding(0)], [_finding(30, 4)])
    assert case == _case("scan", (MISSED,), (0.4,))


def test_a_candidate_on_a_nodule_counts_even_if_an_excluded_finding_is_there_too() -> None:
    assert judged("scan", [_mark(1, 0.9)], [_finding(0)], [_finding(1)]).hit_scores == (0.9,)


def test_an_excluded_finding_without_a_diameter_is_ten_millimetres_wide() -> None:
    marks = [_mark(4.9, 0.9), _mark(-5.1, 0.8)]
    assert judged("scan", marks, [], [_finding(0, -1.0)]).false_scores == (0.8,)


TOY = (_case("A", (0.9, 0.5), (0.8, 0.3)), _case("B", (0.6, MISSED), (0.4,)))
"""Two scans, four nodules. By falling score: 0.9 hit, 0.8 false, 0.6 hit, 0.5 hit, 0.4 false, 0.3 false."""


def test_the_curve_goes_through_every_score() -> None:
    rates, shares = curve(TOY)
    assert rates.tolist() == [0, 0, 0.5, 0.5, 0.5, 1.0, 1.5]
    assert shares.tolist() == [0, 0.25, 0.25, 0.5, 0.75, 0.75, 0.75]


def test_sensitivity_is_interpolated_between_the_points_and_constant_after_the_last() -> None:
    # from (0, 0.25) to (0.5, 0.25) level, at 0.5 the best of three points, then 0.75 for ever
    assert [sensitivity_at(TOY, rate) for rate in (0.125, 0.25, 0.5, 1, 8)] == [0.25, 0.25, 0.75, 0.75, 0.75]
    # one false candidate and one hit share a score: the curve rises straight from (0, 0) to (1, 1)
    assert sensitivity_at([_case("A", (0.5,), (0.5,))], 0.125) == 0.125


def test_cpm_is_the_mean_over_seven_rates() -> None:
    assert cpm(TOY) == pytest.approx((2 * 0.25 + 5 * 0.75) / 7)
    assert cpm([_case("A", (0.5,), (0.5,))]) == pytest.approx((0.125 + 0.25 + 0.5 + 4 * 1) / 7)


def test_scores_may_be_negative_and_a_missed_nodule_is_never_found() -> None:
    assert sensitivity_at([_case("A", (-3.0, MISSED), (-7.0,))], 8) == 0.5


def test_a_scan_without_nodules_counts_for_its_false_candidates_only() -> None:
    alone, with_empty = (_case("A", (0.5,), (0.9,)),), (_case("A", (0.5,), (0.9,)), _case("B", (), ()))
    assert sensitivity_at(alone, 0.5) == 0.0 and sensitivity_at(with_empty, 0.5) == 1.0
    assert math.isnan(cpm([_case("B", (), (0.5,))]))


def test_intervals_come_from_drawing_scans() -> None:
    result = froc([_case(f"S{n}", (0.9 if n % 2 else MISSED,), ()) for n in range(40)])
    assert result.cpm.value == result.sensitivities[8.0].value == 0.5
    assert result.cpm.patients == 40
    # a proportion of 20 in 40: standard error sqrt(0.25 / 40) = 0.079, 1.96 of them
    assert result.cpm.low == pytest.approx(0.5 - 0.155, abs=0.04)
    assert result.cpm.high == pytest.approx(0.5 + 0.155, abs=0.04)
