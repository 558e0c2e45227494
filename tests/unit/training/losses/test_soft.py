"""The supervised losses of DSNet, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from training.losses.soft import DICE_ALONE, SoftWeights, soft_loss, supervised_losses

FOUND = torch.tensor([1.0, 0.5, 0.5, 0.0]).reshape(1, 1, 2, 2)
MASK = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
SOFT = torch.tensor([1.0, 0.75, 0.25, 0.25]).reshape(1, 1, 2, 2)


def test_the_terms_are_weighted_as_the_paper_says() -> None:
    """Dice = 2 * 1.5 / (2 + 2) = 0.75; L1 = (0 + 0.25 + 0.25 + 0.25) / 4 = 0.1875."""
    losses = supervised_losses(FOUND, MASK, SOFT, SoftWeights())
    assert losses["dice"].item() == pytest.approx(0.5 * 0.25, abs=1e-5)
    assert losses["soft"].item() == pytest.approx(100 * 0.1875)


def test_l1_is_a_mean_over_pixels_so_that_its_factor_does_not_grow_with_the_image() -> None:
    large = [tensor.repeat(1, 1, 4, 4) for tensor in (FOUND, SOFT)]
    assert soft_loss(*large).item() == pytest.approx(soft_loss(FOUND, SOFT).item())


def test_dice_on_the_soft_prediction_has_a_gradient_at_every_pixel() -> None:
    found = FOUND.clone().requires_grad_()
    losses = supervised_losses(found, MASK, SOFT, DICE_ALONE)
    assert list(losses) == ["dice"]
    losses["dice"].backward()  # type: ignore[no-untyped-call]
    assert found.grad is not None
    # d(1 - 2 I / S) = -2 (g S - I) / S^2 with I = 1.5, S = 4: -0.3125 in the mask, +0.1875 outside
    assert found.grad.flatten().tolist() == pytest.approx([-0.3125, -0.3125, 0.1875, 0.1875], abs=1e-4)
