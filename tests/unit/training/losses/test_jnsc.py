"""Every loss against a number worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.jnsc import (
    BENIGN,
    MALIGNANT,
    NON_NODULE,
    SOME_NODULE,
    class_loss,
    dice_loss,
    loss_weights,
    marginal_loss,
    settled_pseudo,
    updated_pseudo,
    voxel_loss,
)


def test_the_resolved_weights_favour_the_rare_classes() -> None:
    resolved, printed = loss_weights("resolved"), loss_weights("as_printed")
    assert (resolved.nodule, resolved.background, resolved.classes) == (0.99, 0.01, (0.35, 0.55, 0.1))
    assert (printed.nodule, printed.background, printed.classes) == (0.01, 0.99, (0.55, 0.35, 0.1))


def test_voxel_loss_weighs_nodule_voxels_99_times() -> None:
    logits = torch.tensor([math.log(3.0), math.log(3.0)])  # p = 0.75
    nodule = torch.tensor([1.0, 0.0])
    expected = 0.99 * -math.log(0.75) + 0.01 * -math.log(0.25)  # the weights add up to 1
    assert voxel_loss(logits, nodule, loss_weights("resolved")).item() == pytest.approx(expected, rel=1e-5)


def test_dice_loss_is_worked_out_over_windows_with_a_nodule_only() -> None:
    logits = torch.zeros(2, 1, 1, 1, 4)  # p = 0.5 everywhere
    nodule = torch.zeros(2, 1, 1, 1, 4)
    nodule[0, 0, 0, 0, :1] = 1
    # first window: (2 * 0.5 + 1) / (4 * 0.5 + 1 + 1) = 0.5; the second has no nodule
    assert dice_loss(logits, nodule).item() == pytest.approx(0.5)


def test_dice_loss_without_any_nodule_is_zero_and_has_a_gradient() -> None:
    logits = torch.zeros(1, 1, 2, 2, 2, requires_grad=True)
    dice_loss(logits, torch.zeros(1, 1, 2, 2, 2)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad.abs().max() == 0


def test_class_loss_weighs_by_class() -> None:
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.25, 0.25, 0.5]]))
    labels = torch.tensor([BENIGN, MALIGNANT, NON_NODULE])
    expected = 0.35 * -math.log(0.7) + 0.55 * -math.log(0.6) + 0.1 * -math.log(0.5)  # the weights add up to 1
    assert class_loss(logits, labels, loss_weights("resolved")).item() == pytest.approx(expected, rel=1e-5)


def test_a_nodule_of_unknown_malignancy_may_be_either_kind() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]]))
    loss = class_loss(logits, torch.tensor([SOME_NODULE]), loss_weights("resolved"))
    assert loss.item() == pytest.approx(-math.log(0.8), rel=1e-5)


def test_marginal_loss_ties_the_pseudo_label_to_the_readers() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.4, 0.5]]))  # of the two: malignant 0.8, benign 0.2
    loss = marginal_loss(logits, torch.tensor([0.5]), torch.tensor([0.25]), alpha=10.0)
    expected = -(0.5 * math.log(0.8) + 0.5 * math.log(0.2)) + 10 * 0.25**2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("malignant", "prior", "settled"), [(0.9, 0.25, 0.36), (0.99, 0.25, 0.48), (0.05, 0.75, 0.603)]
)
def test_the_pseudo_label_settles_where_the_gradient_vanishes(malignant: float, prior: float, settled: float) -> None:
    pseudo = prior
    for _ in range(200):
        pseudo = updated_pseudo(pseudo, prior, malignant, alpha=10.0, rate=0.01)
    assert pseudo == pytest.approx(settled, abs=0.001)
    assert settled_pseudo(prior, malignant, alpha=10.0) == pytest.approx(settled, abs=0.001)


def test_one_update_of_the_pseudo_label_by_hand() -> None:
    # 0.25 - 0.01 * (ln(0.1 / 0.9) + 20 * 0) = 0.25 + 0.01 * 2.1972
    assert updated_pseudo(0.25, 0.25, 0.9, alpha=10.0, rate=0.01) == pytest.approx(0.271972, abs=1e-6)


def test_the_pseudo_label_stays_a_probability() -> None:
    assert updated_pseudo(0.99, 1.0, 1 - 1e-9, alpha=10.0, rate=0.09) == 1.0
    assert settled_pseudo(0.0, 1e-9, alpha=0.1) == 0.0


def test_the_update_goes_down_the_loss() -> None:
    malignant, prior = 0.7, 0.25
    logits = torch.log(torch.tensor([[1 - malignant, malignant, 1.0]]))

    def loss(pseudo: float) -> float:
        return marginal_loss(logits, torch.tensor([pseudo]), torch.tensor([prior]), alpha=10.0).item()

    assert loss(updated_pseudo(0.4, prior, malignant, alpha=10.0, rate=0.01)) < loss(0.4)
