"""Boundary consistency (paper 1, section 3.5): do prediction and truth have the same outline? Pure.

Shape suffixes: B batch, J row, I column, 1 channel. Computed in float32, whatever precision the network has.
"""

from __future__ import annotations

from torch import Tensor, minimum
from torch.nn.functional import pad

EPSILON = 1e-6


def soft_boundary(mask_B1JI: Tensor) -> Tensor:
    """p - min(p, its four neighbours), pixels beyond the edge of the image being as those at the edge.

    The paper defines the boundary of a binary mask: a pixel that is 1 beside one that is 0. This is the same on 0 and 1
    (the minimum is the erosion by a cross) and has a gradient between them, which a network's answer needs.

    Parameters
    ----------
    mask_B1JI : 0..1

    Returns
    -------
    shape of the mask; 0..1
    """
    edged = pad(mask_B1JI, (1, 1, 1, 1), mode="replicate")
    rows = minimum(edged[:, :, :-2, 1:-1], edged[:, :, 2:, 1:-1])
    columns = minimum(edged[:, :, 1:-1, :-2], edged[:, :, 1:-1, 2:])
    return mask_B1JI - minimum(mask_B1JI, minimum(rows, columns))


def boundary_loss(probability_B1JI: Tensor, nodule_B1JI: Tensor) -> Tensor:
    """sum |B(p) - B(y)| / (sum B(p) + sum B(y) + 1e-6) of each image; their mean.

    Parameters
    ----------
    probability_B1JI : 0..1, of being nodule
    nodule_B1JI : shape of the probability; 0 or 1

    Returns
    -------
    0 (same boundary) .. 1 (no pixel in common)

    References
    ----------
    Paper 1, equation 3; the small summand keeps it finite where nothing is drawn nor found
    """
    found_BV = soft_boundary(probability_B1JI.float()).flatten(1)
    true_BV = soft_boundary(nodule_B1JI.float()).flatten(1)
    return ((found_BV - true_BV).abs().sum(1) / (found_BV.sum(1) + true_BV.sum(1) + EPSILON)).mean()
