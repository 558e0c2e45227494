"""The rank loss of MT-Net (paper 2, equation 3), which looks at the pixels that are hardest to tell apart. Pure.

Shape suffixes: B batch, J row, I column, V pixels, K hardest pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rank_loss(probability_B1JI: Tensor, nodule_B1JI: Tensor, hardest: int = 20, margin: float = 0.3) -> Tensor:
    """1/K^2 sum_i sum_j max(0, H0_i - H1_j + margin) of each image; their mean.

    H0 are the K largest probabilities outside the nodule, H1 the K smallest inside it.

    Parameters
    ----------
    probability_B1JI : 0..1, of being nodule
    nodule_B1JI : 0 or 1
    hardest : K. Where an image has fewer pixels inside or outside, K is their number there: MB-DCNN fills up with
        pixels that are right, which makes the loss of small nodules smaller
    margin : by which the probability inside must be above the one outside

    Returns
    -------
    0..1 + margin; an image without nodule, or without anything else, counts 0

    References
    ----------
    Paper 2 (MT-Net), section 3.2.6; Xie et al., IEEE TMI 39 (2020) 2482 (MB-DCNN)
    """
    p_BV, nodule_BV = probability_B1JI.float().flatten(1), nodule_B1JI.flatten(1) > 0.5
    k = min(hardest, p_BV.shape[1])
    outside_BK = p_BV.masked_fill(nodule_BV, -1).topk(k, 1).values
    inside_BK = -(-p_BV.masked_fill(~nodule_BV, 2)).topk(k, 1).values
    inside_B, all_B = nodule_BV.sum(1), nodule_BV.shape[1]
    count_B = torch.minimum(inside_B, all_B - inside_B).clamp(max=k)
    counts_BK = torch.arange(k, device=p_BV.device) < count_B[:, None]
    pairs_BKK = torch.relu(outside_BK[:, :, None] - inside_BK[:, None, :] + margin)
    pairs_BKK = pairs_BKK * (counts_BK[:, :, None] & counts_BK[:, None, :])
    return (pairs_BKK.sum((1, 2)) / count_B.clamp(min=1) ** 2).mean()
