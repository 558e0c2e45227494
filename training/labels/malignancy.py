"""From the readers' malignancy ratings (1 highly unlikely .. 5 highly suspicious) to a training label.

Pure. Called from `training.data.luna16` and `training.evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean, median


class Label(StrEnum):
    """What the readers together say of a nodule."""

    BENIGN = "benign"
    MALIGNANT = "malignant"
    UNCERTAIN = "uncertain"


class LabelRule(StrEnum):
    """How ratings become a label; a pipeline's contract names the rule."""

    MEDIAN = "median"
    MEAN_STRICT3 = "mean_strict3"
    MEAN_ROUNDED = "mean_rounded"


class Certainty(StrEnum):
    """How far the label of a nodule may be trusted (paper 4)."""

    CERTAIN = "certain"
    """The label is a hard target."""

    MARGINAL = "marginal"
    """The label is a pseudo-label's starting point: `prior`."""

    UNCERTAIN = "uncertain"
    """The median is 3: no target for malignancy, and no part of a test set."""


def label(ratings: Sequence[int], rule: LabelRule = LabelRule.MEDIAN) -> Label:
    """Label of a nodule.

    Parameters
    ----------
    ratings : 1..5, one per reader; nobody rated it = uncertain
    rule : `MEDIAN` and `MEAN_STRICT3`: below 3 benign, above 3 malignant, exactly 3 uncertain (papers 4 and 2);
        `MEAN_ROUNDED`: up to 2.5 benign, from 3.5 malignant, between them uncertain (paper 1)
    """
    if not ratings:
        return Label.UNCERTAIN
    middle = float(median(ratings)) if rule is LabelRule.MEDIAN else fmean(ratings)
    low, high = (2.5, 3.5) if rule is LabelRule.MEAN_ROUNDED else (3.0, 3.0)
    if middle < low or (rule is LabelRule.MEAN_ROUNDED and middle == low):
        return Label.BENIGN
    if middle > high or (rule is LabelRule.MEAN_ROUNDED and middle == high):
        return Label.MALIGNANT
    return Label.UNCERTAIN


def is_marginal(ratings: Sequence[int]) -> bool:
    """Whether the label is too weak to be trained on as it is: two readers or fewer, median 2..4 but not 3 (paper 4).

    The paper's range includes a median of 3, which is its own class "uncertain"; it is left out here.
    """
    return len(ratings) <= 2 and 2 <= median(ratings) <= 4 and median(ratings) != 3


def certainty(ratings: Sequence[int]) -> Certainty:
    """Certainty of the label that the median gives.

    Parameters
    ----------
    ratings : 1..5, one per reader, at least one
    """
    if label(ratings) is Label.UNCERTAIN:
        return Certainty.UNCERTAIN
    return Certainty.MARGINAL if is_marginal(ratings) else Certainty.CERTAIN


def prior(ratings: Sequence[int]) -> float:
    """Probability of malignancy that the readers' median M stands for: T = (M - 1) / 4, 0..1 (paper 4, NETWORKS 4.3).

    Parameters
    ----------
    ratings : 1..5, one per reader, at least one
    """
    return (float(median(ratings)) - 1.0) / 4.0
