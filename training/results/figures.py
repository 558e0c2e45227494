"""Where a figure stands in what an evaluation left, and how it is written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]


def value_at(figures: Figures, path: str) -> Any:
    """The figure at a path whose keys are joined by dots; None if there is none."""
    for key in path.split(".") if path else ():
        if not isinstance(figures, Mapping) or key not in figures:
            return None
        figures = figures[key]
    return figures


def shown(figure: Any) -> str:
    """A figure with its interval; a dash where there is none."""
    if isinstance(figure, Mapping):
        if figure.get("value") is None:
            return "undefined"
        low, high = figure["interval_95"]
        return f"{_plain(figure['value'])} ({_plain(low)} to {_plain(high)})"
    return _plain(figure)


def difference(one: float | None, other: float | None) -> str:
    """What a printed number is above another one, with its sign; a dash where either is not printed."""
    return "-" if one is None or other is None else f"{one - other:+.3f}"


def _plain(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
