"""Printing: the same rows as a table for people or as JSON for programs. Called from `cli` and `demo`."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Row = Mapping[str, Any]
LONG_WORD = 30


def show_rows(rows: Sequence[Row], *, as_json: bool, title: str = "", empty: str = "There is nothing to show.") -> None:
    """Print rows that have the same keys: as one table if the terminal is wide enough, else one below the other.

    `empty` is said where there are none.
    """
    if as_json:
        show_json(list(rows))
        return
    if not rows:
        say(empty)
        return
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for key in rows[0]:
        table.add_column(key.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(escape(_text(value)) for value in row.values()))
    console = Console()
    if Console(width=9999).measure(table).maximum <= console.width or not _has_long_words(rows):
        console.print(table)
        return
    for number, row in enumerate(rows, start=1):
        show_facts(row, title=f"{title} {number} of {len(rows)}".strip())


def show_facts(facts: Row, *, title: str = "") -> None:
    """Print one thing as a list of its properties."""
    table = Table(title=title or None, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for key, value in facts.items():
        table.add_row(key.replace("_", " "), escape(_text(value)))
    Console().print(table)


def show_json(value: object) -> None:
    """Print JSON; times are ISO 8601 in UTC."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def say(text: str) -> None:
    """Print a sentence."""
    Console().print(_visible(text), highlight=False, markup=False, soft_wrap=True)


def _has_long_words(rows: Sequence[Row]) -> bool:
    """Whether a narrow column would tear words, such as UIDs, to pieces."""
    words = (word for row in rows for value in row.values() for word in _text(value).split())
    return any(len(word) > LONG_WORD for word in words)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"
    if isinstance(value, list | tuple):
        return "\n".join(_text(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items()) or "none"
    return _visible(str(value))


def _visible(text: str) -> str:
    """Without characters that a terminal would obey: descriptions come from anybody."""
    return "".join(char if char == "\n" or unicodedata.category(char)[0] != "C" else "\ufffd" for char in text)
