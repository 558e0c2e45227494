"""Every benchmark of `make bench` that starts peers runs; small, and without judging its figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import load, receive, send
from tests.benchmarks.goals import Goal, table

pytestmark = pytest.mark.services


@pytest.mark.parametrize("sending", [None, receive.by_dcmtk], ids=["own sender", "storescu"])
def test_receivers_are_measured_in_turn(tmp_path: Path, sending: receive.Sending | None) -> None:
    seconds = receive.measure(tmp_path, receive.FROM_STORESCU, sending=sending, counts=(1,), instances=3, rounds=2)
    assert {key: len(taken) for key, taken in seconds.items()} == {(receive.NODE, 1): 2, (receive.DCMTK, 1): 2}
    assert all(taken_s > 0 for taken in seconds.values() for taken_s in taken)
    for name in receive.FROM_STORESCU:
        assert name in receive.table(seconds)


def test_senders_are_measured_in_turn() -> None:
    assert {name: len(taken) for name, taken in send.measure(instances=2, rounds=2).items()} == {
        "node": 2,
        "pynetdicom": 2,
    }


def test_every_instance_that_is_sent_under_load_is_answered() -> None:
    assert send.lost(instances=20) == 0


def test_readers_see_the_same_voxels_and_are_measured_in_turn() -> None:
    assert {name: len(taken) for name, taken in load.measure(slices=20, rounds=2).items()} == {
        "node": 2,
        "SimpleITK": 2,
    }


def test_a_ratio_is_that_of_the_same_round() -> None:
    seconds = {("a", 1): [1.0, 2.0, 4.0], ("b", 1): [3.0, 4.0, 4.0]}
    assert receive.ratio(seconds, ("a", 1), ("b", 1)) == 2.0


@pytest.mark.parametrize(
    ("value", "is_least", "word"),
    [(2.0, True, "PASS"), (1.9, True, "SHORT"), (2.0, False, "PASS"), (2.1, False, "SHORT")],
)
def test_a_goal_is_passed_on_the_right_side_of_its_bound(value: float, is_least: bool, word: str) -> None:
    assert word in table([Goal(what="it", value=value, bound=2.0, is_least=is_least)])


def test_what_was_not_measured_is_short() -> None:
    assert "SHORT" in table([Goal(what="it", value=float("nan"), bound=2.0)])
