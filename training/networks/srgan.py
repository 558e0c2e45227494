"""SRGAN, the teacher of DSNet (paper 5): enlarges a CT image and shows the feature maps that it draws the detail from.

- Generator: residual blocks with BatchNorm and PReLU at the image's own size, then one PixelShuffle per doubling.
- Critic: the VGG-like stack of SRGAN, four stages of which each halves the image.
- It teaches itself: images are blurred and thinned out, and it learns to undo that (`degraded`).

Called from `training.systems.dsnet_training`. Ledig et al., arXiv:1609.04802; NETWORKS 5.2.
Shape suffixes: B batch, C channel, J row, I column; 1 one channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate

BLUR_PX = 0.8
"""Standard deviation of the blur before an image is thinned out, so that nothing folds back (NETWORKS 5.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SrganConfig:
    """Sizes of the teacher.

    Parameters
    ----------
    factor : enlargement, a power of two
    blocks, width : residual blocks of the generator and their channels
    critic_width : channels of the critic's first stage; the last of four has eight times as many
    critic_hidden : of its last but one layer
    edge : pixels of the large images that the critic sees, a multiple of 16
    """

    factor: int
    blocks: int
    width: int
    critic_width: int
    critic_hidden: int
    edge: int


def srgan_paper() -> SrganConfig:
    """SRGAN as published: 1.53 M parameters, 8.4 GMAC from 64^2 to 256^2; trained from 24^2 to 96^2."""
    return SrganConfig(factor=4, blocks=16, width=64, critic_width=64, critic_hidden=1024, edge=96)


def srgan_reduced() -> SrganConfig:
    """A quarter of the blocks, half the width, doubles the size; trained from 32^2 to 64^2."""
    return SrganConfig(factor=2, blocks=4, width=32, critic_width=16, critic_hidden=64, edge=64)


class Generator(nn.Module):
    """From an image to the enlarged image, and the last feature maps before it."""

    def __init__(self, config: SrganConfig) -> None:
        super().__init__()
        width = config.width
        self.factor = config.factor
        self.entry = nn.Sequential(nn.Conv2d(1, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(_Residual(width) for _ in range(config.blocks)))
        self.trunk = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        self.up = nn.Sequential(*(_Up(width) for _ in range(int(math.log2(config.factor)))))
        self.exit = nn.Conv2d(width, 1, 9, padding=4)

    def forward(self, image_B1JI: Tensor) -> tuple[Tensor, Tensor]:
        """Enlarge.

        Returns
        -------
        shape (B, 1, factor J, factor I), about 0..1, and shape (B, width, factor J, factor I)
        """
        entered_BCJI = self.entry(image_B1JI)
        detail_BCJI: Tensor = self.up(entered_BCJI + self.trunk(self.blocks(entered_BCJI)))
        return self.exit(detail_BCJI), detail_BCJI


class Critic(nn.Module):
    """From a large image to the logit of its being a real one."""

    def __init__(self, config: SrganConfig) -> None:
        super().__init__()
        width = config.critic_width
        widths = [width * 2**stage for stage in range(4)]
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(0.2)]
        for before, after in zip([width, *widths], widths, strict=False):
            layers += _critic_layer(before, after, 1) if after > width else []
            layers += _critic_layer(after, after, 2)
        self.layers = nn.Sequential(*layers)
        self.verdict = nn.Sequential(
            nn.Flatten(),
            nn.Linear(widths[-1] * (config.edge // 16) ** 2, config.critic_hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(config.critic_hidden, 1),
        )

    def forward(self, image_B1JI: Tensor) -> Tensor:
        """Logits of shape (B, 1)."""
        logits_B1: Tensor = self.verdict(self.layers(image_B1JI))
        return logits_B1


def degraded(image_B1JI: Tensor, factor: int) -> Tensor:
    """Blurred and thinned out (bicubic), which the teacher learns to undo.

    Parameters
    ----------
    image_B1JI : edges are multiples of the factor

    Returns
    -------
    shape (B, 1, J / factor, I / factor)
    """
    reach = math.ceil(4 * BLUR_PX)
    at = torch.arange(-reach, reach + 1, dtype=image_B1JI.dtype, device=image_B1JI.device)
    kernel = torch.exp(-0.5 * (at / BLUR_PX) ** 2)
    kernel = kernel / kernel.sum()
    padded_B1JI = nn.functional.pad(image_B1JI, (reach,) * 4, mode="reflect")
    blurred_B1JI = conv2d(conv2d(padded_B1JI, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    size_ji = [edge // factor for edge in image_B1JI.shape[2:]]
    return interpolate(blurred_B1JI, size=size_ji, mode="bicubic", align_corners=False)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x_BCJI: Tensor) -> Tensor:
        result_BCJI: Tensor = x_BCJI + self.layers(x_BCJI)
        return result_BCJI


class _Up(nn.Sequential):
    """Twice the size."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())


def _critic_layer(before: int, after: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride, padding=1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
