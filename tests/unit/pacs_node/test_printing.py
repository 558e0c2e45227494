from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pacs_node.printing import say, show_facts, show_rows

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e[bold]CHEST"
SEEN = "\ufffd]0;owned\ufffd\ufffd[2J\ufffd31m\ufffd[bold]CHEST"


@pytest.mark.parametrize(
    "show",
    [
        lambda: say(HOSTILE),
        lambda: show_facts({"description": HOSTILE}),
        lambda: show_rows([{"description": [HOSTILE]}], as_json=False),
    ],
    ids=["sentence", "facts", "rows"],
)
def test_what_is_printed_is_seen_and_never_obeyed(
    show: Callable[[], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    show()
    assert SEEN in capsys.readouterr().out


def test_programs_get_every_character_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"description": HOSTILE}], as_json=True)
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert "\x1b" not in printed
    assert json.loads(printed) == [{"description": HOSTILE}]
