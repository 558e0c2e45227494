"""Figures of a yes-or-no decision, and whether reported ones can belong to one test set. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Figures of decisions at one threshold; NaN without the cases that a figure is about."""

    accuracy: float
    sensitivity: float
    specificity: float
    prevalence: float


def decisions(scores: Sequence[float], positive: Sequence[bool], threshold: float) -> Decisions:
    """Scores at or above the threshold say yes."""
    said, true = np.asarray(scores) >= threshold, np.asarray(positive, bool)
    return Decisions(
        accuracy=_mean(said == true),
        sensitivity=_mean(said[true]),
        specificity=_mean(~said[~true]),
        prevalence=_mean(true),
    )


def implied_prevalence(accuracy: float, sensitivity: float, specificity: float) -> float:
    """The share of positives that makes the three figures agree: ACC = pi SEN + (1 - pi) SPE.

    Outside 0..1 no test set has these figures. NaN where any prevalence does (sensitivity equals specificity).
    """
    difference = sensitivity - specificity
    return (accuracy - specificity) / difference if difference else float("nan")


def are_consistent(figures: Decisions, tolerance: float = 1e-9) -> bool:
    """Whether accuracy, sensitivity, specificity and prevalence can belong together."""
    expected = figures.prevalence * figures.sensitivity + (1 - figures.prevalence) * figures.specificity
    return abs(figures.accuracy - expected) <= tolerance


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
