"""Cross entropy over two classes, worked out by hand; labels that are not known do not count."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.two_class import label_cross_entropy, pixel_cross_entropy

NAN = float("nan")


def test_the_pixel_loss_is_the_mean_over_all_pixels() -> None:
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, 1, 0, 0] = math.log(3)  # nodule with probability 3/4 in the first pixel, 1/2 in the second
    nodule = torch.tensor([[[[1.0, 0.0]]]])
    assert float(pixel_cross_entropy(logits, nodule)) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_the_label_loss_is_the_mean_over_the_known_labels() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)], [5.0, -5.0]])
    malignant = torch.tensor([1.0, 0.0, NAN])
    assert float(label_cross_entropy(logits, malignant)) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_unknown_labels_have_no_gradient_and_no_loss_alone() -> None:
    logits = torch.tensor([[1.0, -2.0], [0.5, 0.5]], requires_grad=True)
    loss = label_cross_entropy(logits, torch.tensor([NAN, NAN]))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None and not logits.grad.any()


def test_losses_of_a_half_precision_network_are_computed_in_float32() -> None:
    logits = torch.zeros(1, 2, 1, 1, dtype=torch.bfloat16)
    assert pixel_cross_entropy(logits, torch.ones(1, 1, 1, 1)).dtype == torch.float32
