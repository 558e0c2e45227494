from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_node.domain.retry import ANALYSE, COMPOSE, DELIVER, PLAN, STRIKES, Backoff, check_worth, delay_s, wait_s
from pacs_node.errors import Quarantined, WorkerLost

POLICY = Backoff(first_s=2, factor=3, longest_s=50, attempts=5)


@pytest.mark.parametrize(("attempt", "longest_s"), [(1, 2), (2, 6), (3, 18), (4, 50)])
def test_the_delay_grows_by_its_factor_up_to_the_longest(attempt: int, longest_s: float) -> None:
    assert delay_s(POLICY, attempt, 0.0) == longest_s / 2
    assert delay_s(POLICY, attempt, 0.5) == longest_s * 0.75


@pytest.mark.parametrize("attempt", [5, 6, 1000])
def test_after_the_last_attempt_there_is_no_other(attempt: int) -> None:
    assert delay_s(POLICY, attempt, 0.5) is None


@given(st.sampled_from([PLAN, ANALYSE, COMPOSE, DELIVER]), st.integers(1, 400), st.floats(0, 1, exclude_max=True))
def test_chance_spreads_the_delay_over_its_upper_half(policy: Backoff, attempt: int, random: float) -> None:
    least, delay = delay_s(policy, attempt, 0.0), delay_s(policy, attempt, random)
    assert (least is None) == (delay is None) == (attempt >= policy.attempts)
    if least is not None and delay is not None:
        assert policy.first_s / 2 <= least <= delay <= 2 * least <= policy.longest_s


def _span_s(policy: Backoff, random: float) -> float:
    return sum(delay_s(policy, attempt, random) or 0 for attempt in range(1, policy.attempts))


def test_an_analysis_is_given_up_after_4_to_9_minutes() -> None:
    assert _span_s(ANALYSE, 1.0) == 2 + 6 + 18 + 54 + 162 + 300
    assert _span_s(ANALYSE, 0.0) == 271


@pytest.mark.parametrize(
    ("age_s", "longest_s"), [(0, 5), (50, 5), (60, 6), (1200, 120), (3000, 300), (86400, 300), (86401, None)]
)
def test_models_that_are_away_are_waited_for_ever_longer_and_for_a_day(age_s: float, longest_s: float | None) -> None:
    assert wait_s(age_s, 0.0) == (None if longest_s is None else longest_s / 2)
    assert wait_s(age_s, 0.5) == (None if longest_s is None else longest_s * 0.75)


def test_a_study_that_cannot_be_planned_is_set_aside_after_3_to_6_hours() -> None:
    assert 2.5 * 3600 < _span_s(PLAN, 0.0) < _span_s(PLAN, 1.0) < 6 * 3600


def test_what_cost_two_workers_is_not_tried_again() -> None:
    assert STRIKES == 2
    assert delay_s(POLICY, 1, 0.0, strikes=1) == 1
    assert delay_s(POLICY, 1, 0.0, strikes=2) is None


def test_an_attempt_is_worth_it_until_attempts_or_strikes_are_used_up() -> None:
    check_worth(POLICY, attempt=5, strikes=1)
    with pytest.raises(Quarantined):
        check_worth(POLICY, attempt=1, strikes=2)
    with pytest.raises(WorkerLost):
        check_worth(POLICY, attempt=6, strikes=0)


def test_a_delivery_outlasts_a_weekend() -> None:
    friday_evening_to_monday_morning_s = (6 + 24 + 24 + 8) * 3600
    assert _span_s(DELIVER, 0.0) > friday_evening_to_monday_morning_s
