"""What critic and network minimise, worked out by hand, and the clamp."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.losses.adversarial import clamp_weights, critic_loss, deceiving_loss

REAL, MADE = torch.tensor([2.0, -0.5, 0.0]), torch.tensor([-3.0, 1.0, -1.0])


def test_a_wasserstein_critic_minimises_the_difference_of_the_means() -> None:
    assert float(critic_loss(REAL, MADE)) == pytest.approx(-1.0 - 0.5)


def test_a_hinge_critic_does_not_care_for_answers_beyond_one() -> None:
    real, made = (0 + 1.5 + 1) / 3, (0 + 2 + 0) / 3
    assert float(critic_loss(REAL, MADE, "hinge")) == pytest.approx(real + made)


def test_the_network_minimises_minus_the_mean_answer() -> None:
    assert float(deceiving_loss(MADE)) == pytest.approx(1.0)


def test_the_clamp_reaches_all_parameters_and_leaves_the_running_statistics() -> None:
    critic = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    with torch.no_grad():
        critic[0].weight.fill_(0.5)
        critic[0].bias.fill_(-0.004)
    clamp_weights(critic, 0.01)
    assert critic[0].weight.item() == pytest.approx(0.01)
    assert critic[0].bias.item() == pytest.approx(-0.004)
    assert critic[1].weight.item() == pytest.approx(0.01)
    assert critic[1].running_var.item() == 1
