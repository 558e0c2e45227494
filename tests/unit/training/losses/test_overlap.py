"""Dice and cross entropy against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.overlap import cross_entropy, dice_loss, logit_cross_entropy


def test_dice_loss_is_worked_out_per_image() -> None:
    found = torch.tensor([[0.5, 0.5, 0.5, 0.5], [1.0, 0.0, 0.0, 0.0]]).reshape(2, 1, 2, 2)
    truth = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]).reshape(2, 1, 2, 2)
    # first: 2 * 1 / (2 + 2) = 0.5; second: 2 * 1 / 2 = 1; pooled over both images it would be 4 / 6
    assert dice_loss(found, truth).item() == pytest.approx((0.5 + 0.0) / 2, abs=1e-5)


def test_dice_loss_of_an_image_without_nodule_is_one_and_has_a_finite_gradient() -> None:
    found = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss = dice_loss(found, torch.zeros(1, 1, 2, 2))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 1.0
    assert found.grad is not None and found.grad.isfinite().all()


def test_cross_entropy_by_hand_for_probabilities_and_for_logits() -> None:
    p, target = torch.tensor([0.75, 0.75]), torch.tensor([1.0, 0.25])
    # -ln(3/4) and -(1/4 ln(3/4) + 3/4 ln(1/4))
    expected = (-math.log(0.75) - 0.25 * math.log(0.75) - 0.75 * math.log(0.25)) / 2
    assert cross_entropy(p, target).item() == pytest.approx(expected, rel=1e-5)
    assert logit_cross_entropy(torch.logit(p), target).item() == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_of_a_sure_mistake_is_finite_and_has_a_finite_gradient() -> None:
    p = torch.tensor([0.0, 1.0], requires_grad=True)
    loss = cross_entropy(p, torch.tensor([1.0, 0.0]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite() and p.grad is not None and p.grad.isfinite().all()
