"""A seed says what goes wrong when; within a stream one fault after the other, and all before the end."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from tests.soak.schedule import STREAMS, Habit, Stream, drawn, faults_of

HOUR_S = 3600.0


@pytest.mark.parametrize("stream", Stream)
def test_the_same_seed_makes_the_same_faults_and_another_makes_others(stream: Stream) -> None:
    assert faults_of(1, HOUR_S, stream) == faults_of(1, HOUR_S, stream)
    assert faults_of(1, HOUR_S, stream) != faults_of(2, HOUR_S, stream)


@pytest.mark.parametrize("stream", Stream)
def test_faults_of_a_stream_follow_each_other_and_end_with_the_run(stream: Stream) -> None:
    for seed in range(20):
        faults = faults_of(seed, HOUR_S, stream)
        shortest = STREAMS[stream].gap_s[0]
        assert all(one.at_s + one.duration_s + shortest <= other.at_s for one, other in pairwise(faults))
        assert shortest <= faults[0].at_s
        assert faults[-1].at_s + faults[-1].duration_s <= HOUR_S


def test_every_kind_of_fault_comes_in_one_hour_or_another() -> None:
    seen = {fault.kind for seed in range(5) for stream in Stream for fault in faults_of(seed, HOUR_S, stream)}
    assert seen == {kind for habitat in STREAMS.values() for kind in habitat.kinds}


def test_a_draw_follows_the_weights() -> None:
    rng = Random(0)
    draws = [drawn(rng, {Habit.WHOLE: 3.0, Habit.PROBES: 1.0, Habit.LATE: 0.0}) for _ in range(4000)]
    assert Habit.LATE not in draws
    assert 0.70 < draws.count(Habit.WHOLE) / len(draws) < 0.80
