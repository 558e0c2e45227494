"""Soft Dice and binary cross entropy of segmentations, the losses that the 2-D systems share. Pure.

Shape suffixes: B batch, C channel, J row, I column, V pixels. Computed in float32, whatever precision the network has.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

EPSILON = 1e-5
_SURE = 1e-6


def dice_loss(probability_BCJI: Tensor, nodule_BCJI: Tensor, epsilon: float = EPSILON) -> Tensor:
    """1 - 2 sum(P G) / (sum(P + G) + epsilon) of each image, foreground only; their mean.

    Parameters
    ----------
    probability_BCJI : 0..1, of being nodule
    nodule_BCJI : shape of the probability; 0..1, soft masks too
    epsilon : paper 2 does not give its smoothing factor; 1e-5 is MB-DCNN's

    Returns
    -------
    0..1; 1 for an image without nodule, whatever is found there

    References
    ----------
    Paper 2 (MT-Net), equation 2
    """
    p_BV, g_BV = probability_BCJI.float().flatten(1), nodule_BCJI.float().flatten(1)
    dice_B = 2 * (p_BV * g_BV).sum(1) / (p_BV.sum(1) + g_BV.sum(1) + epsilon)
    return (1 - dice_B).mean()


def logit_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) with p = sigmoid(logit), mean over all elements; targets 0..1."""
    return binary_cross_entropy_with_logits(logits.float(), target.float())


def cross_entropy(probability: Tensor, target: Tensor) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)), mean over all elements; targets 0..1.

    For networks that end in a probability. It is kept 1e-6 away from 0 and 1, so that the logarithms and their
    gradients stay finite; written out because torch refuses its own form under bfloat16.
    """
    p, t = probability.float().clamp(_SURE, 1 - _SURE), target.float()
    return -(t * torch.log(p) + (1 - t) * torch.log(1 - p)).mean()
