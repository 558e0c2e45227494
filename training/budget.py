"""How long a training may take, and whether it will. Pure. Called from `training.cli.reproduce`."""

from __future__ import annotations

import re
from dataclasses import dataclass

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
WARM_STEPS = 20
"""Steps of a phase before its speed is believed."""

SLACK = 1.1
"""A projection may miss the budget by this much before a run is given up."""


def seconds_of(text: str) -> float:
    """ "90s", "60m" or "1.5h" in seconds.

    Raises
    ------
    ValueError : anything else
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if not found:
        raise ValueError(f"{text!r} is no time; write for example 90s, 60m or 1.5h")
    return float(found[1]) * SECONDS[found[2]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is.

    Parameters
    ----------
    phase_steps_done, phase_steps : of the present phase, since this session began, and those that remain in it
    phase_s : seconds that the present phase has taken in this session
    """

    phase_steps_done: int
    phase_steps_left: int
    phase_s: float


def is_hopeless(progress: Progress, left_s: float) -> bool:
    """Whether the present phase alone will take more than what is left of the budget.

    Parameters
    ----------
    left_s : seconds of the budget that are left
    """
    if left_s <= 0:
        return True
    if progress.phase_steps_done < WARM_STEPS:
        return False
    each_s = progress.phase_s / progress.phase_steps_done
    return each_s * progress.phase_steps_left > SLACK * left_s
