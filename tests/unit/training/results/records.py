"""Runs as they are after an evaluation, with figures that a test says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.results import Run


def figure(value: float | None) -> dict[str, Any]:
    """One with an interval that is always the same."""
    return {"value": value, "interval_95": [0.8, 0.9], "patients": 88}


def cases(dice: Sequence[float], *, sha256: str = "0", malignancy: Sequence[float] = ()) -> dict[str, Any]:
    """A list of cases, two of each patient; the malignant ones are those with odd numbers."""
    listed = {"sha256": sha256, "patient": [n // 2 for n in range(len(dice))], "dice": list(dice)}
    if not malignancy:
        return listed
    return {**listed, "malignancy": list(malignancy), "is_malignant": [n % 2 for n in range(len(dice))]}


def a_run(
    recipe: str, *, system: str = "hr_mpf", dice: float = 0.86, steps: int = 100, epochs: int = 5, **more: Any
) -> Run:
    """A run of 100 steps with a Dice; `more` is added to its figures."""
    figures = {"data": "LUNA16 slices", "steps": steps, "of_steps": 100, "segmentation": {"dice": figure(dice)}}
    return Run(
        system=system,
        purpose="The paper's.",
        about={"recipe": {"name": recipe, "epochs": epochs}, "commit": "c" * 40},
        figures={**figures, **more},
    )
