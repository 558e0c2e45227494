"""Worked by hand with three readers on four pixels."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.agreement import against_the_others, pairwise

READERS = np.array([[[1, 1, 0, 0]], [[1, 1, 0, 0]], [[1, 0, 0, 0]]], bool)


def test_pairs_have_dice_1_and_twice_two_thirds() -> None:
    assert pairwise(READERS) == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


def test_each_reader_meets_at_least_half_of_the_others() -> None:
    """One of two others is enough, so each of them meets the first two pixels; the third reader has only one."""
    assert against_the_others(READERS) == pytest.approx((1 + 1 + 2 / 3) / 3)
