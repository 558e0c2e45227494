"""One function that advances any state machine by its table; nobody else assigns a state."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from pacs_node.errors import InvalidTransition

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def advance(table: Mapping[tuple[S, E], S], state: S, event: E) -> S:
    """The state after `event`.

    Raises
    ------
    InvalidTransition : the table has no such row
    """
    try:
        return table[state, event]
    except KeyError:
        raise InvalidTransition(f"event {event} is not allowed in state {state}") from None
