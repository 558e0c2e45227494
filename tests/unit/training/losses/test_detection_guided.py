"""Losses of paper 3, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.detection_guided import known_cross_entropy, smooth_dice_loss


def test_dice_of_a_slice_with_a_nodule() -> None:
    """Sum of products 1.2, sums 1.5 and 2: 1 - (2.4 + 1) / (3.5 + 1)."""
    probability = torch.tensor([[[[0.7, 0.5], [0.3, 0.0]]]])
    nodule = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert float(smooth_dice_loss(probability, nodule)) == pytest.approx(1 - 3.4 / 4.5)


def test_dice_of_an_empty_slice_is_lost_by_what_is_found_there() -> None:
    empty = torch.zeros(1, 1, 2, 2)
    assert float(smooth_dice_loss(empty, empty)) == 0.0
    assert float(smooth_dice_loss(torch.full_like(empty, 0.75), empty)) == pytest.approx(1 - 1 / 4)


def test_dice_is_the_mean_over_slices() -> None:
    """A perfect slice of two pixels beside an empty one where three are found."""
    nodule = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]], [[[0.0, 0.0, 0.0, 0.0]]]])
    found = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]], [[[1.0, 1.0, 1.0, 0.0]]]])
    assert float(smooth_dice_loss(found, nodule)) == pytest.approx((0 + 3 / 4) / 2)


def test_cross_entropy_leaves_unknown_labels_out() -> None:
    """log(1 + e^-2) for the positive, log(1 + e^-1) for the negative with logit -1."""
    logits, labels = torch.tensor([2.0, 100.0, -1.0]), torch.tensor([1.0, math.nan, 0.0])
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    assert float(known_cross_entropy(logits, labels)) == pytest.approx(expected)


def test_without_a_known_label_nothing_is_lost_and_nothing_moves() -> None:
    logits = torch.tensor([2.0, -1.0], requires_grad=True)
    loss = known_cross_entropy(logits, torch.full((2,), math.nan))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None and not logits.grad.any()
