"""The steps that workers run, and the call of one: the only thing that travels through the queue."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """A step by the name of its task."""

    COMPLETE = "complete"
    PLAN = "plan"
    ANALYSE = "analyse"
    ANTICIPATE = "anticipate"
    COMPOSE = "compose"
    DELIVER = "deliver"
    REPORT = "report"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A step to be run on a row; `lane` is the queue of the peer that it speaks to, empty for the queue of the step."""

    step: Step
    row_id: int
    lane: str = ""
