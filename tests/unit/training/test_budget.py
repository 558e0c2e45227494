"""A run is given up when it cannot end within the budget, and not before its speed is known."""

from __future__ import annotations

import pytest

from training.budget import Progress, is_hopeless, seconds_of


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("60m", 3600), ("1.5h", 5400), (" 2h ", 7200)])
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "60", "1d", "-5m", "m", "1e3s"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="60m"):
        seconds_of(text)


def _after(done: int, left: int, seconds: float) -> Progress:
    return Progress(phase_steps_done=done, phase_steps_left=left, phase_s=seconds)


def test_the_first_steps_prove_nothing() -> None:
    assert not is_hopeless(_after(19, 1_000_000, 19.0), left_s=10.0)


def test_a_phase_that_needs_twice_the_time_that_is_left_is_given_up() -> None:
    assert is_hopeless(_after(100, 200, 100.0), left_s=100.0)
    assert not is_hopeless(_after(100, 100, 100.0), left_s=100.0)


def test_a_projection_may_miss_by_a_tenth() -> None:
    assert not is_hopeless(_after(100, 109, 100.0), left_s=100.0)
    assert is_hopeless(_after(100, 111, 100.0), left_s=100.0)


def test_without_time_there_is_no_hope() -> None:
    assert is_hopeless(_after(0, 1, 0.0), left_s=0.0)
