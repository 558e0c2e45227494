"""The adversarial losses, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.conditional_gan import passing, telling_apart


def test_who_knows_nothing_loses_ln_2_on_both_sides() -> None:
    unsure = torch.zeros(2, 1, 3, 3)
    assert telling_apart(unsure, unsure).item() == pytest.approx(math.log(2))
    assert passing(unsure).item() == pytest.approx(math.log(2))


def test_the_discriminator_s_loss_is_half_the_sum_of_both_cross_entropies() -> None:
    real, made = torch.tensor([math.log(3.0)]), torch.tensor([math.log(1 / 4)])  # D(real) = 3/4, D(made) = 1/5
    assert telling_apart(real, made).item() == pytest.approx((-math.log(3 / 4) - math.log(4 / 5)) / 2)
    assert passing(made).item() == pytest.approx(-math.log(1 / 5))


def test_a_maker_that_is_seen_through_still_has_a_gradient() -> None:
    """Of -log D it is D - 1 = -1; of log(1 - D), the saturating form, it would be 0."""
    made = torch.tensor([-60.0], requires_grad=True)
    passing(made).backward()  # type: ignore[no-untyped-call]
    assert made.grad is not None
    assert made.grad.item() == pytest.approx(-1.0)
