"""Worked by hand on small masks."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics.overlap import counts, dice, pooled

TRUE = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)
FOUND = np.array([[1, 0, 1, 0], [1, 1, 0, 0]], bool)


def test_figures_of_three_hits_one_miss_and_one_false_pixel() -> None:
    found = counts(FOUND, TRUE)
    assert (found.true_positive, found.false_positive, found.false_negative, found.true_negative) == (3, 1, 1, 3)
    assert found.dice == pytest.approx(6 / 8)
    assert found.iou == pytest.approx(3 / 5)
    assert (found.sensitivity, found.ppv) == pytest.approx((3 / 4, 3 / 4))
    assert found.accuracy == pytest.approx(6 / 8)


def test_mean_iou_counts_the_background_as_much_as_the_nodule() -> None:
    # 2 of 100 pixels are nodule and 1 of them is found: IoU 1/2; of 99 pixels of either's background both have 98
    truth = np.zeros((10, 10), bool)
    truth[0, :2] = True
    found = counts(np.eye(1, 100, dtype=bool).reshape(10, 10), truth)
    assert found.mean_iou == pytest.approx((1 / 2 + 98 / 99) / 2)
    assert found.accuracy == pytest.approx(99 / 100)
    empty = np.zeros_like(truth)
    assert counts(empty, empty).mean_iou == counts(empty, empty).accuracy == 1.0


def test_two_empty_masks_agree_and_an_empty_one_agrees_with_nothing_else() -> None:
    empty = np.zeros_like(TRUE)
    assert dice(empty, empty) == 1.0
    assert dice(empty, TRUE) == dice(TRUE, empty) == 0.0


def test_pooling_weighs_cases_by_their_pixels() -> None:
    small = counts(np.array([[True, False]]), np.array([[False, True]]))
    both = pooled([counts(FOUND, TRUE), small])
    assert both.dice == pytest.approx(2 * 3 / (2 * 3 + 2 + 2))
