"""FROC and CPM by the rules of the LUNA16 challenge. Pure; for whoever has whole LUNA16 scans and their annotations.

The rules (Setio et al., Medical Image Analysis 2017;42:1-13, and the challenge's published evaluation):
- a candidate hits a finding if its centre is nearer than the finding's radius, not as near
- of the candidates that hit a nodule the highest score counts, the others are neither right nor wrong
- a candidate that hits no nodule but a finding of the exclusion list (nodules of one or two readers, those below 3 mm,
  other lesions) is neither right nor wrong; findings without a diameter are taken for 10 mm wide
- what is left is false; sensitivity is interpolated between the points of the curve, which begins at (0, 0)
- the interval comes from drawing scans, a thousand times
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics.froc import RATES
from training.metrics.statistics import Figure, figures

UNKNOWN_DIAMETER_MM = 10.0
MISSED = -math.inf
"""Score of a nodule that no candidate hits."""

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A candidate: where, and how certain; any scale."""

    centre_mm: Point
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A reference finding; its diameter is negative where the list has none."""

    centre_mm: Point
    diameter_mm: float

    def is_hit_by(self, mark: Mark) -> bool:
        """Nearer than the radius."""
        diameter_mm = self.diameter_mm if self.diameter_mm >= 0 else UNKNOWN_DIAMETER_MM
        return math.dist(self.centre_mm, mark.centre_mm) < diameter_mm / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LunaCase:
    """What came of one scan: the best score of each nodule, `MISSED` if none, and the scores of false candidates."""

    name: str
    hit_scores: tuple[float, ...]
    false_scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Froc:
    """Sensitivity by false candidates per scan, and their mean, with intervals over scans."""

    sensitivities: dict[float, Figure]
    cpm: Figure


def judged(
    name: str, marks: Sequence[Mark], nodules: Sequence[Annotation], excluded: Sequence[Annotation] = ()
) -> LunaCase:
    """The candidates of one scan against its nodules and the exclusion list."""
    best = [max((mark.score for mark in marks if nodule.is_hit_by(mark)), default=MISSED) for nodule in nodules]
    known = (*nodules, *excluded)
    false = [mark.score for mark in marks if not any(finding.is_hit_by(mark) for finding in known)]
    return LunaCase(name=name, hit_scores=tuple(best), false_scores=tuple(false))


def froc(cases: Sequence[LunaCase]) -> Froc:
    """All figures of the challenge; scans without nodules count for their false candidates."""
    by_scan = {case.name: [case] for case in cases}
    *sensitivities, mean = figures(by_scan, _with_mean)
    return Froc(sensitivities=dict(zip(RATES, sensitivities, strict=True)), cpm=mean)


def cpm(cases: Sequence[LunaCase]) -> float:
    """Mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false candidates per scan; NaN without nodules."""
    return _with_mean(cases)[-1]


def sensitivity_at(cases: Sequence[LunaCase], rate: float) -> float:
    """Interpolated at `rate` false candidates per scan; NaN without nodules."""
    return float(np.interp(rate, *curve(cases)))


def curve(cases: Sequence[LunaCase]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False candidates per scan and sensitivity at every score, the strictest first; begins at (0, 0)."""
    hits = np.sort([score for case in cases for score in case.hit_scores])
    false = np.sort([score for case in cases for score in case.false_scores])
    scores = np.unique(np.concatenate([hits[hits > MISSED], false]))[::-1]
    found = len(hits) - np.searchsorted(hits, scores)
    wrong = len(false) - np.searchsorted(false, scores)
    share = found / len(hits) if len(hits) else np.full(len(scores), np.nan)
    start = 0.0 if len(hits) else np.nan
    return np.r_[0.0, wrong / len(cases)], np.r_[start, share]


def _with_mean(cases: Sequence[LunaCase]) -> tuple[float, ...]:
    """Sensitivity at each of the rates, and their mean."""
    sensitivities = np.interp(RATES, *curve(cases))
    return *sensitivities.tolist(), float(sensitivities.mean())
