"""The embedded Triton is replaced when a new one would be better, and nobody waits for that but its own thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from inference.errors import (
    ContractInvalid,
    InferenceError,
    PredictorBroken,
    PredictorTimeout,
    PredictorUnavailable,
)
from pacs_node.processes.triton import Keeper, Pace, Server
from tests.support.nodes import eventually

HASTY = Pace(look_s=0.001, examine_s=0.001, answer_s=0.0, silences=3, pause_s=0.001, longest_s=0.002)


class FakeServer:
    """Answers its examinations with these outcomes, and then well for ever."""

    def __init__(self, *outcomes: str | InferenceError, start: InferenceError | None = None) -> None:
        self.outcomes = list(outcomes)
        self.start_error = start
        self.examinations = 0
        self.is_running = True
        self.is_stopped = False

    def wait_until_ready(self) -> None:
        if self.start_error is not None:
            raise self.start_error

    def is_live(self, within_s: float) -> bool:
        self.examinations += 1
        if self.outcomes[:1] == ["silent"]:
            self.outcomes.pop(0)
            return False
        return True

    def reload(self, within_s: float) -> tuple[str, ...]:
        outcome = self.outcomes.pop(0) if self.outcomes else "well"
        if isinstance(outcome, InferenceError):
            raise outcome
        return () if outcome == "well" else (outcome,)

    def kill(self) -> None:
        self.is_running = False

    def stop(self) -> None:
        self.is_stopped = True


@contextmanager
def kept(servers: Sequence[Server]) -> Iterator[tuple[Keeper, list[Server]]]:
    """A keeper that starts one server after another, and those that it has started."""
    started: list[Server] = []

    def start() -> Server:
        started.append(servers[len(started)])
        return started[-1]

    keeper = Keeper(start, HASTY)
    try:
        yield keeper, started
    finally:
        keeper.stop()


def test_a_server_that_answers_is_left_alone() -> None:
    server = FakeServer()
    with kept([server]) as (keeper, started):
        eventually(lambda: server.examinations > 10)
        keeper.check()
        assert started == [server]
        assert not server.is_stopped
    assert server.is_stopped


@pytest.mark.parametrize("trouble", ["silent", PredictorTimeout(), PredictorBroken()], ids=str)
def test_one_that_stays_silent_is_replaced(trouble: str | InferenceError) -> None:
    first, second = FakeServer(trouble, trouble, trouble), FakeServer()
    with kept([first, second]) as (_, started):
        eventually(lambda: second.examinations > 1)
        assert started == [first, second]
        assert first.is_stopped
        assert first.examinations == 3


@pytest.mark.parametrize(
    "outcomes",
    [
        ("silent", "silent", "well", "silent", "silent"),
        ("doubler", "doubler", "doubler", "doubler"),
        (ContractInvalid(), ContractInvalid(), ContractInvalid()),
        (PredictorUnavailable(), PredictorUnavailable(), PredictorUnavailable()),
    ],
    ids=["slow at times", "models that die", "a damaged file", "a version that is not loaded yet"],
)
def test_what_a_new_server_would_not_mend_does_not_replace_it(outcomes: tuple[str | InferenceError, ...]) -> None:
    server = FakeServer(*outcomes)
    with kept([server]) as (_, started):
        eventually(lambda: server.examinations > len(outcomes) + 3)
        assert started == [server]


def test_one_whose_process_ended_is_replaced() -> None:
    first, second = FakeServer(), FakeServer()
    with kept([first, second]) as (_, started):
        eventually(lambda: first.examinations > 1)
        first.is_running = False
        eventually(lambda: second.examinations > 1)
        assert started == [first, second]


def test_starting_anew_is_tried_until_it_works() -> None:
    failing = [FakeServer(start=PredictorUnavailable()) for _ in range(5)]
    first, last = FakeServer(), FakeServer()
    with kept([first, *failing, last]) as (keeper, _):
        eventually(lambda: first.examinations > 1)
        first.is_running = False
        eventually(lambda: last.examinations > 1)
        keeper.check()
        assert all(server.is_stopped for server in failing)


def test_pauses_between_starts_double_up_to_a_minute() -> None:
    assert [Pace().before_start(failures) for failures in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_first_start_that_fails_is_reported_and_not_repeated() -> None:
    first = FakeServer(start=PredictorUnavailable("the port is taken"))
    with kept([first]) as (keeper, _), pytest.raises(PredictorUnavailable, match="the port is taken"):
        eventually(lambda: keeper.check())
    assert first.is_stopped


def test_a_start_that_takes_long_holds_up_nobody_and_can_be_ended() -> None:
    class Slow(FakeServer):
        def __init__(self) -> None:
            super().__init__()
            self.is_waiting, self.is_killed = threading.Event(), threading.Event()

        def wait_until_ready(self) -> None:
            self.is_waiting.set()
            self.is_killed.wait()
            raise PredictorUnavailable

        def kill(self) -> None:
            self.is_killed.set()

    server = Slow()
    with kept([server]) as (keeper, _):
        assert server.is_waiting.wait(10)
        keeper.check()
    assert server.is_stopped
