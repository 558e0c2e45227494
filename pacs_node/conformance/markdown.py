"""Tables and paragraphs in Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 120


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def filled(text: str) -> str:
    """The text with every paragraph filled; headings and tables are left as they are."""
    blocks = [block.strip() for block in text.split("\n\n")]
    return "\n\n".join(block if block[:1] in ("#", "|") else _paragraph(block) for block in blocks if block)


def _paragraph(block: str) -> str:
    return textwrap.fill(" ".join(block.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
