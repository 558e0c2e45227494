"""Sensitivity against false positives per scan. Pure; used by `training.evaluation`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per scan whose sensitivities the CPM averages (LUNA16 challenge)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCase:
    """What came of one scan.

    Parameters
    ----------
    name : of the scan
    hit_scores : for each reference nodule, the best score of a finding whose centre lies within its radius; 0 if none
    false_scores : scores of findings that hit no nodule, relevant or not
    """

    name: str
    hit_scores: tuple[float, ...]
    false_scores: tuple[float, ...]


def sensitivity(cases: Sequence[ScanCase], score: float) -> float:
    """Share of reference nodules found at or above a score above 0; NaN without nodules."""
    hits = [hit for case in cases for hit in case.hit_scores]
    return float(np.mean([hit >= score for hit in hits])) if hits else float("nan")


def false_per_scan(cases: Sequence[ScanCase], score: float) -> float:
    """Mean number of false findings at or above a score."""
    return sum(value >= score for case in cases for value in case.false_scores) / len(cases)


def sensitivity_at(cases: Sequence[ScanCase], rate: float) -> float:
    """Highest sensitivity at no more than `rate` false positives per scan."""
    hits = [hit for case in cases for hit in case.hit_scores]
    return sensitivity_allowing(hits, [value for case in cases for value in case.false_scores], rate * len(cases))


def sensitivity_allowing(hit_scores: Sequence[float], false_scores: Sequence[float], allowed: float) -> float:
    """Highest sensitivity with no more than `allowed` false findings in all; NaN without nodules.

    Parameters
    ----------
    hit_scores : for each reference nodule, 0 if it was not found
    """
    if not len(hit_scores):
        return float("nan")
    ranked = sorted(false_scores, reverse=True)
    count = int(allowed + 1e-9)
    refused = ranked[count] if count < len(ranked) else 0.0
    return float(np.mean(np.asarray(hit_scores) > refused))


def cpm(cases: Sequence[ScanCase]) -> float:
    """Mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per scan."""
    return float(np.mean([sensitivity_at(cases, rate) for rate in RATES]))
