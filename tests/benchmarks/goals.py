"""What a benchmark has to reach: a figure of the same run, and the bound that it is held to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure beside its bound.

    Parameters
    ----------
    what : the figure, and what it is a ratio to
    value : as measured
    bound : the value may not be on the wrong side of it
    is_least : the bound is the least that will do, else the most
    """

    what: str
    value: float
    bound: float
    is_least: bool = True

    @property
    def is_reached(self) -> bool:
        """Whether the value is on the right side; nothing measured is not."""
        return self.value >= self.bound if self.is_least else self.value <= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The figures of a benchmark as text, and the goals that they are held to."""

    text: str
    goals: tuple[Goal, ...] = ()


def table(goals: list[Goal]) -> str:
    """One line for each goal, with PASS or SHORT."""
    rows = [
        f"  {'PASS ' if goal.is_reached else 'SHORT'} {goal.value:9.2f} {'>=' if goal.is_least else '<='}"
        f" {goal.bound:7.2f}  {goal.what}"
        for goal in goals
    ]
    return "\n".join(["Goals", *rows])
