"""A process that starts before its database waits for it, says so, and can be told to stop meanwhile."""

from __future__ import annotations

import threading

import pytest

from pacs_node.errors import DatabaseUnavailable, StorageFailed
from pacs_node.processes.starting import awaited


class Absent:
    """Begins only after so many failures."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.tries = failures, error, 0

    def __call__(self) -> str:
        self.tries += 1
        if self.tries <= self.failures:
            raise self.error
        return "begun"


def test_it_begins_as_soon_as_the_database_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    begin = Absent(3, DatabaseUnavailable())
    assert awaited(begin, threading.Event(), every_s=0) == "begun"
    assert begin.tries == 4
    assert capsys.readouterr().err.count("[database.unavailable]; waiting for it") == 1


def test_it_need_not_wait_to_be_stopped() -> None:
    stop = threading.Event()
    stop.set()
    begin = Absent(3, DatabaseUnavailable())
    with pytest.raises(DatabaseUnavailable):
        awaited(begin, stop)
    assert begin.tries == 1


def test_for_nothing_else_it_waits() -> None:
    with pytest.raises(StorageFailed):
        awaited(Absent(3, StorageFailed()), threading.Event(), every_s=0)
