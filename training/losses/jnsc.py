"""Losses of JNSC (paper 4, section II) and the soft Dice term of the reduced recipe. Pure.

Called from `training.systems.jnsc`.
Shape suffixes: B batch, C channel, K J I space, N candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

Weights = Literal["resolved", "as_printed", "milder"]

BENIGN, MALIGNANT, NON_NODULE, SOME_NODULE = range(4)
"""Labels of candidates; the last one is a nodule whose malignancy is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of voxels and of classes.

    Parameters
    ----------
    nodule, background : of voxels
    classes : of (benign, malignant, non-nodule) candidates
    """

    nodule: float
    background: float
    classes: tuple[float, float, float]


def loss_weights(variant: Weights) -> LossWeights:
    """The paper's weights, `as_printed` or with the swapped ones put right.

    The paper prints 0.01 for nodule and 0.99 for other voxels, although nodules are the rare ones, and 0.35 for
    malignant and 0.55 for benign, although its benign nodules are twice as many.
    """
    if variant == "as_printed":
        return LossWeights(nodule=0.01, background=0.99, classes=(0.55, 0.35, 0.1))
    if variant == "milder":
        return LossWeights(nodule=0.9, background=0.1, classes=(0.35, 0.55, 0.1))
    return LossWeights(nodule=0.99, background=0.01, classes=(0.35, 0.55, 0.1))


def voxel_loss(logits_BCKJI: Tensor, nodule_BCKJI: Tensor, weights: LossWeights) -> Tensor:
    """Weighted cross entropy of voxels, divided by the sum of the weights."""
    weight_BCKJI = weights.background + (weights.nodule - weights.background) * nodule_BCKJI
    each_BCKJI = binary_cross_entropy_with_logits(logits_BCKJI, nodule_BCKJI, reduction="none")
    return (weight_BCKJI * each_BCKJI).sum() / weight_BCKJI.sum()


def dice_loss(logits_BCKJI: Tensor, nodule_BCKJI: Tensor) -> Tensor:
    """1 - soft Dice, mean over the windows that hold a nodule; 0 if none does."""
    held_B = nodule_BCKJI.flatten(1).any(1)
    if not held_B.any():
        return logits_BCKJI.sum() * 0
    p_BV, t_BV = torch.sigmoid(logits_BCKJI[held_B]).flatten(1), nodule_BCKJI[held_B].flatten(1)
    dice_B = (2 * (p_BV * t_BV).sum(1) + 1) / (p_BV.sum(1) + t_BV.sum(1) + 1)
    return (1 - dice_B).mean()


def class_loss(logits_N3: Tensor, labels_N: Tensor, weights: LossWeights) -> Tensor:
    """Weighted cross entropy of candidates, divided by the sum of the weights.

    A candidate that is a nodule of unknown malignancy (`SOME_NODULE`) counts by the probability of being either kind,
    with the mean of both weights.
    """
    benign, malignant, other = weights.classes
    weight_N = logits_N3.new_tensor([benign, malignant, other, (benign + malignant) / 2])[labels_N]
    some_N = torch.logsumexp(logits_N3[:, :NON_NODULE], 1) - torch.logsumexp(logits_N3, 1)
    certain_N = cross_entropy(logits_N3, labels_N.clamp(max=NON_NODULE), reduction="none")
    each_N = torch.where(labels_N == SOME_NODULE, -some_N, certain_N)
    return (weight_N * each_N).sum() / weight_N.sum()


def marginal_loss(logits_N3: Tensor, pseudo_N: Tensor, prior_N: Tensor, alpha: float) -> Tensor:
    """Loss of nodules with a marginal label: cross entropy with the pseudo-label, tied to the readers' opinion.

    Parameters
    ----------
    logits_N3 : benign, malignant, non-nodule; the first two are normalised to sum 1
    pseudo_N : pseudo-label, probability of malignant
    prior_N : T = (median rating - 1) / 4
    alpha : strength of the tie, 10 in the paper

    Notes
    -----
    The paper's (4) prints the tie with a minus; its gradient (6) is that of a plus, which is used here.
    """
    log_N2 = torch.log_softmax(logits_N3[:, :NON_NODULE], 1)
    entropy_N = -(pseudo_N * log_N2[:, MALIGNANT] + (1 - pseudo_N) * log_N2[:, BENIGN])
    return (entropy_N + alpha * (pseudo_N - prior_N) ** 2).mean()


def updated_pseudo(pseudo: float, prior: float, malignant: float, *, alpha: float, rate: float) -> float:
    """The pseudo-label after one step of gradient descent, kept in 0..1.

    Parameters
    ----------
    pseudo, prior : as in `marginal_loss`
    malignant : the network's probability of malignant among the two, mean over the epoch's visits; inside 0..1
    alpha, rate : stable for rate < 1 / alpha; the paper gives no rate, 0.01 settles in about five epochs
    """
    gradient = math.log((1 - malignant) / malignant) + 2 * alpha * (pseudo - prior)
    return min(1.0, max(0.0, pseudo - rate * gradient))


def settled_pseudo(prior: float, malignant: float, alpha: float) -> float:
    """Where `updated_pseudo` comes to rest: clip(T + logit(p) / (2 alpha), 0, 1)."""
    return min(1.0, max(0.0, prior + math.log(malignant / (1 - malignant)) / (2 * alpha)))
