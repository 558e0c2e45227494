"""Figures with patient-level bootstrap intervals, and the area under a ROC curve. Pure.

Called from `training.evaluation.report`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

ROUNDS = 1000
Case = TypeVar("Case")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number with its 95 % interval over resampled patients and the number of patients; NaN where it is undefined."""

    value: float
    low: float
    high: float
    patients: int

    def to_json(self) -> dict[str, float | list[float | None] | int | None]:
        """Rounded, with null for what is undefined."""
        value, low, high = (None if np.isnan(x) else round(x, 4) for x in (self.value, self.low, self.high))
        return {"value": value, "interval_95": [low, high], "patients": self.patients}


def figure(
    cases: Mapping[str, Sequence[Case]], statistic: Callable[[Sequence[Case]], float], *, seed: int = 0
) -> Figure:
    """A statistic over all cases with its bootstrap interval; patients are drawn, not cases.

    Parameters
    ----------
    cases : by patient
    statistic : of any list of cases; NaN if undefined, such rounds are left out
    """
    patients = sorted(cases)
    rng = np.random.default_rng(seed)
    rounds = []
    for _ in range(ROUNDS):
        chosen = rng.integers(len(patients), size=len(patients))
        rounds.append(statistic([case for number in chosen for case in cases[patients[number]]]))
    defined = [value for value in rounds if not np.isnan(value)]
    low, high = np.percentile(defined, [2.5, 97.5]) if defined else (np.nan, np.nan)
    value = statistic([case for patient in patients for case in cases[patient]])
    return Figure(value=value, low=float(low), high=float(high), patients=len(patients))


def area_under_roc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Probability that a positive case scores higher than a negative one, ties count half; NaN without either kind.

    References
    ----------
    Mann-Whitney U / (positives * negatives)
    """
    is_positive = np.asarray(positive, bool)
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(np.asarray(scores, float))
    return float((ranks[is_positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def mean(values: Sequence[float]) -> float:
    """NaN if there are none."""
    return float(np.mean(values)) if len(values) else float("nan")
