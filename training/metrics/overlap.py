"""Overlap of masks. Pure; used by `training.evaluation` and by the validations of `training.systems`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from inference.volume import BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Elements of two masks: in both, in the found one only, in the true one only, in neither."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN); 1 if both masks are empty."""
        return _share(2 * self.true_positive, self.false_positive + self.false_negative)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN); 1 if both masks are empty."""
        return _share(self.true_positive, self.false_positive + self.false_negative)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN); 1 if the true mask is empty."""
        return _share(self.true_positive, self.false_negative)

    @property
    def ppv(self) -> float:
        """TP / (TP + FP), the precision; 1 if the found mask is empty."""
        return _share(self.true_positive, self.false_positive)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all elements; says little where most of them are background (Acc of paper 1, ACC of paper 2)."""
        return _share(self.true_positive + self.true_negative, self.false_positive + self.false_negative)

    @property
    def mean_iou(self) -> float:
        """IoU of the nodule and of the background, their mean (MIoU of paper 1, NETWORKS 1.6)."""
        return (self.iou + _share(self.true_negative, self.false_positive + self.false_negative)) / 2


def counts(found: BoolArray, truth: BoolArray) -> Counts:
    """Both masks of the same shape, element by element."""
    both, drawn, true = (int(np.count_nonzero(mask)) for mask in (found & truth, found, truth))
    return Counts(
        true_positive=both,
        false_positive=drawn - both,
        false_negative=true - both,
        true_negative=truth.size - drawn - true + both,
    )


def pooled(cases: Iterable[Counts]) -> Counts:
    """The elements of many cases together."""
    rows = np.array([(c.true_positive, c.false_positive, c.false_negative, c.true_negative) for c in cases])
    tp, fp, fn, tn = rows.sum(axis=0).tolist()
    return Counts(true_positive=tp, false_positive=fp, false_negative=fn, true_negative=tn)


def dice(one: BoolArray, other: BoolArray) -> float:
    """2 |A and B| / (|A| + |B|); 1 if both are empty."""
    return counts(one, other).dice


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part + rest else 1.0
