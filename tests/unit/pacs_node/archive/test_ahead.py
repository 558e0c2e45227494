"""What was found ahead: given once, waited for while it is being made, and nothing if it is not whole."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from pacs_node.archive.ahead import Ahead

KEY = "0" * 64


@pytest.fixture
def ahead(tmp_path: Path) -> Ahead:
    return Ahead(tmp_path)


def _kept(ahead: Ahead, content: bytes) -> None:
    with ahead.making(KEY) as keep:
        keep(content)


def test_what_was_kept_is_given_once(ahead: Ahead) -> None:
    _kept(ahead, b"findings")
    assert [ahead.take(KEY), ahead.take(KEY)] == [b"findings", None]


def test_what_is_kept_anew_takes_the_place_of_what_was(ahead: Ahead) -> None:
    _kept(ahead, b"the longer of both")
    _kept(ahead, b"findings")
    assert ahead.take(KEY) == b"findings"


def test_nothing_is_under_another_key(ahead: Ahead) -> None:
    _kept(ahead, b"findings")
    assert ahead.take("1" * 64) is None


@pytest.mark.parametrize("length", [0, 31, 32, 39])
def test_what_is_half_written_is_nothing(ahead: Ahead, tmp_path: Path, length: int) -> None:
    _kept(ahead, b"findings")
    os.truncate(tmp_path / "ahead" / KEY, length)
    assert ahead.take(KEY) is None


def test_who_wants_what_is_being_made_waits_for_it(ahead: Ahead) -> None:
    taken: list[bytes | None] = []
    with ahead.making(KEY) as keep:
        waiting = threading.Thread(target=lambda: taken.append(ahead.take(KEY)))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        keep(b"findings")
    waiting.join()
    assert taken == [b"findings"]


def test_what_nobody_asked_for_is_forgotten_after_its_time(ahead: Ahead, tmp_path: Path) -> None:
    _kept(ahead, b"findings")
    ahead.forget(60.0)
    assert (tmp_path / "ahead" / KEY).exists()
    earlier = time.time() - 61.0
    os.utime(tmp_path / "ahead" / KEY, (earlier, earlier))
    ahead.forget(60.0)
    assert not (tmp_path / "ahead" / KEY).exists()
