"""What a critic and the network that it judges minimise, and the clamp of a WGAN's critic. Pure but for the clamp.

Answers are linear, of any shape; high = looks like a reference mask. Computed in float32.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Gan = Literal["wgan_clip", "hinge", "none"]


def critic_loss(real: Tensor, made: Tensor, gan: Gan = "wgan_clip") -> Tensor:
    """Of the critic, from its answers to reference masks and to predictions.

    "wgan_clip" : mean D(made) - mean D(real); paper 1, equation 7; Arjovsky et al. 2017
    "hinge" : mean max(0, 1 - D(real)) + mean max(0, 1 + D(made)); Lim and Ye 2017; needs no clamp
    """
    if gan == "hinge":
        return torch.relu(1 - real.float()).mean() + torch.relu(1 + made.float()).mean()
    return made.float().mean() - real.float().mean()


def deceiving_loss(made: Tensor) -> Tensor:
    """-mean D(made), of the network that made the predictions; paper 1, equation 2, the same for a hinge critic."""
    return -made.float().mean()


@torch.no_grad()
def clamp_weights(critic: nn.Module, limit: float) -> None:
    """Bring all parameters of a critic to -limit..limit, those of its normalisations too (paper 1, section 3.5)."""
    for parameter in critic.parameters():
        parameter.clamp_(-limit, limit)
