"""What an enlarged image must have in common with the real one: pixels and edges. Pure.

L = mean((y - x)^2) + mean(|dy/di - dx/di| + |dy/dj - dx/dj|). SRGAN compares features of a VGG trained on photographs;
without its weights, edges take their place (NETWORKS 5.2). Called from `training.systems.dsnet_training`.
Shape suffixes: B batch, J row, I column, 1 channel, 2 directions.

References
----------
Ledig et al., arXiv:1609.04802, equations 3 to 6: adversarial loss with a factor of 1e-3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, mse_loss

ADVERSARIAL = 1e-3
"""Factor of the adversarial loss beside the content loss."""


def content_loss(made_B1JI: Tensor, real_B1JI: Tensor) -> Tensor:
    """Mean squared difference, and mean absolute difference of the gradients in both directions, summed over these."""
    made_B1JI, real_B1JI = made_B1JI.float(), real_B1JI.float()
    edges_B2JI = gradients(made_B1JI - real_B1JI).abs()
    return mse_loss(made_B1JI, real_B1JI) + edges_B2JI.sum(1).mean()


def gradients(image_B1JI: Tensor) -> Tensor:
    """Change per pixel along a row and along a column by Sobel's operator.

    Returns
    -------
    shape (B, 2, J - 2, I - 2)
    """
    smooth, slope = image_B1JI.new_tensor([1.0, 2.0, 1.0]) / 4, image_B1JI.new_tensor([-1.0, 0.0, 1.0]) / 2
    kernels_2JI = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])
    return conv2d(image_B1JI, kernels_2JI[:, None])
