"""By how much one run is better than another on the same cases, patients resampled in pairs. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from training.evaluation.slices import DECIDED
from training.metrics.statistics import area_under_roc, figure, mean
from training.results.figures import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What two runs say of one case, and what is true."""

    ours: float
    theirs: float
    is_malignant: bool


def gain(ours: Figures, theirs: Figures, name: str) -> dict[str, Any] | None:
    """How much higher the first one's figure is, with a 95 % interval over patients.

    Parameters
    ----------
    ours, theirs : lists of cases, see `training.evaluation.slices.case_list`
    name : "dice", "auc" or "accuracy"

    Returns
    -------
    None if one of them has no such list, or the two are not of the same cases with the same truth
    """
    column, statistic = STATISTICS[name]
    if column not in ours or column not in theirs or any(ours.get(key) != theirs.get(key) for key in SAME[column]):
        return None
    pairs: dict[str, list[Pair]] = defaultdict(list)
    labels = ours["is_malignant"] if column == "malignancy" else [0.0] * len(ours["patient"])
    for patient, one, other, label in zip(ours["patient"], ours[column], theirs[column], labels, strict=True):
        if label is not None:
            pairs[str(patient)].append(Pair(ours=one, theirs=other, is_malignant=label == 1))
    return figure(pairs, statistic).to_json()


def _dice(pairs: Sequence[Pair]) -> float:
    return mean([pair.ours - pair.theirs for pair in pairs])


def _auc(pairs: Sequence[Pair]) -> float:
    truth = [pair.is_malignant for pair in pairs]
    ours, theirs = (area_under_roc(some, truth) for some in ([p.ours for p in pairs], [p.theirs for p in pairs]))
    return ours - theirs


def _accuracy(pairs: Sequence[Pair]) -> float:
    said = np.array([(pair.ours, pair.theirs) for pair in pairs]) >= DECIDED
    right = said == np.array([[pair.is_malignant] for pair in pairs])
    return float(right[:, 0].mean() - right[:, 1].mean())


STATISTICS: Mapping[str, tuple[str, Callable[[Sequence[Pair]], float]]] = MappingProxyType(
    {"dice": ("dice", _dice), "auc": ("malignancy", _auc), "accuracy": ("malignancy", _accuracy)}
)
"""The column that a figure is made of, and the difference of that figure over some pairs."""

SAME: Mapping[str, tuple[str, ...]] = MappingProxyType({"dice": ("sha256",), "malignancy": ("sha256", "is_malignant")})
"""What two lists must agree in, so that a column may be compared."""
