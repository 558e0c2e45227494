"""What the detection-guided system needs beside `training.losses.overlap`: Dice for slices that may be empty. Pure.

Shape suffixes: B batch, C channel, J row, I column, V pixels. Computed in float32, whatever precision the network has.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.losses.overlap import logit_cross_entropy


def smooth_dice_loss(probability_BCJI: Tensor, nodule_BCJI: Tensor) -> Tensor:
    """1 - (2 sum(P G) + 1) / (sum(P) + sum(G) + 1) of each image; their mean.

    Returns
    -------
    0..1; the 1 makes an empty slice's loss 0 if nothing is found there, and grow with what is found

    References
    ----------
    Paper 3, equation 7, which leaves the form of its Dice loss open; smoothing 1: NETWORKS.md section 3.3
    """
    p_BV, g_BV = probability_BCJI.float().flatten(1), nodule_BCJI.float().flatten(1)
    dice_B = (2 * (p_BV * g_BV).sum(1) + 1) / (p_BV.sum(1) + g_BV.sum(1) + 1)
    return (1 - dice_B).mean()


def known_cross_entropy(logits_B: Tensor, labels_B: Tensor) -> Tensor:
    """Cross entropy over the samples whose label is known; 0, with a gradient of 0, if none is.

    Parameters
    ----------
    labels_B : 1, 0, or NaN where it is not known
    """
    is_known_B = ~torch.isnan(labels_B)
    if not is_known_B.any():
        return logits_B.float().sum() * 0
    return logit_cross_entropy(logits_B[is_known_B], labels_B[is_known_B])
