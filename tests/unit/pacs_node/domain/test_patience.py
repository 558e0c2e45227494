"""When a connection is closed: never one that gets on, always one that only seems to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_node.domain.patience import Patience, Watchdog

PATIENCE = Patience(handshake_s=25, idle_s=50, slowest_bytes_per_s=1000)


def test_the_limits_are_those_that_were_promised() -> None:
    """A handshake ends within 30 s and an idle association within 60 s; the watchdog is looked at once a second."""
    patience = Patience()
    assert patience.handshake_s + 2 < 30
    assert patience.idle_s + 2 < 60


def test_a_handshake_has_its_own_time_whatever_arrives() -> None:
    watchdog = Watchdog(PATIENCE, now_s=100)
    assert not watchdog.is_over(0, 0, 124.9)
    assert watchdog.is_over(0, 49_999, 125)


def test_every_whole_message_starts_the_time_anew() -> None:
    watchdog = Watchdog(PATIENCE, now_s=0)
    assert [
        watchdog.is_over(done, 0, now_s) for done, now_s in [(1, 20), (1, 69), (2, 69.5), (2, 119), (2, 119.5)]
    ] == [
        False,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(("bytes_per_s", "is_over"), [(999, True), (1000, False)])
def test_an_unfinished_message_has_to_come_at_some_rate(bytes_per_s: int, is_over: bool) -> None:
    watchdog = Watchdog(PATIENCE, now_s=0)
    assert not watchdog.is_over(1, 0, 0)
    assert any(watchdog.is_over(1, bytes_per_s * second, second) for second in range(500)) == is_over


@given(bursts=st.lists(st.integers(0, 999), max_size=100))
def test_no_order_of_drips_below_the_rate_is_waited_for_longer_than_the_time(bursts: list[int]) -> None:
    """Each second fewer bytes than the rate asks for: over after 50 s, not before, whatever was sent when."""
    watchdog, received = Watchdog(PATIENCE, now_s=0), 0
    watchdog.is_over(1, 0, 0)
    for second, count in enumerate(bursts, start=1):
        received += count
        assert watchdog.is_over(1, received, second) == (second >= 50)
