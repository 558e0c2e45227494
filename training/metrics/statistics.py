"""Figures with patient-level bootstrap intervals, and the areas under ROC and precision-recall curves. Pure.

Called from `training.evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
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
    (only,) = figures(cases, lambda some: (statistic(some),), seed=seed)
    return only


def figures(
    cases: Mapping[str, Sequence[Case]], statistics: Callable[[Sequence[Case]], Sequence[float]], *, seed: int = 0
) -> tuple[Figure, ...]:
    """Several statistics over the same draws; see `figure`."""
    patients = sorted(cases)
    rng = np.random.default_rng(seed)
    rounds = []
    for _ in range(ROUNDS):
        chosen = rng.integers(len(patients), size=len(patients))
        rounds.append(statistics([case for number in chosen for case in cases[patients[number]]]))
    whole = statistics([case for patient in patients for case in cases[patient]])
    return tuple(
        Figure(value=value, **_interval(column), patients=len(patients))
        for value, column in zip(whole, np.asarray(rounds).T, strict=True)
    )


def _interval(rounds: NDArray[np.float64]) -> dict[str, float]:
    """Of the rounds in which the statistic was defined."""
    defined = rounds[~np.isnan(rounds)]
    low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) else (np.nan, np.nan)
    return {"low": float(low), "high": float(high)}


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


def average_precision(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the precision-recall curve as a sum over thresholds; NaN without positive cases.

    Not to be compared with areas under ROC curves: a constant score has the prevalence here and 0.5 there.

    References
    ----------
    sum over thresholds of (recall_n - recall_n-1) * precision_n; equal scores share one threshold
    """
    values, is_positive = np.asarray(scores, float), np.asarray(positive, bool)
    if not is_positive.any():
        return float("nan")
    order = np.argsort(-values, kind="stable")
    found = np.cumsum(is_positive[order])
    last_of_ties = np.r_[np.flatnonzero(np.diff(values[order])), len(values) - 1]
    precision = found[last_of_ties] / (last_of_ties + 1)
    recall = found[last_of_ties] / is_positive.sum()
    return float(np.sum(np.diff(np.r_[0.0, recall]) * precision))


def mean(values: Sequence[float]) -> float:
    """NaN if there are none."""
    return float(np.mean(values)) if len(values) else float("nan")
