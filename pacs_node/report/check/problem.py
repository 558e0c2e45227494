"""What the check says: problems, never exceptions. Used by every module of `check`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

UNREADABLE = (AttributeError, KeyError, IndexError, TypeError, ValueError, ArithmeticError)
"""What reading a malformed dataset raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with a result: a stable code and a sentence without patient data."""

    code: str
    text: str


def guarded(code: str, examine: Callable[..., Iterable[Problem]], *arguments: object) -> Iterator[Problem]:
    """The problems that `examine` finds; a document that it cannot even read is a problem with this code."""
    try:
        yield from list(examine(*arguments))
    except UNREADABLE as error:
        yield Problem(code=code, text=f"The document cannot be examined: {type(error).__name__}.")
