"""Building blocks of the 3-D networks: convolution + norm + ReLU, residual stacks, down and up steps.

Called from `training.networks.jnsc`. Every 3x3x3 convolution and every step between levels is followed by a norm with
learnt scale and ReLU: InstanceNorm (paper 4, section II), or BatchNorm, whose statistics no window changes once it is
trained, so that a voxel is judged alike in windows of any size.
Shape suffixes: B batch, C channel, K J I space.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["instance", "batch"]


class ConvNormRelu(nn.Sequential):
    """Convolution, norm, ReLU, spatial dropout.

    Parameters
    ----------
    before, after : channels in and out
    kernel, stride : of the convolution; padding keeps the size at stride 1 and odd kernels
    dropout : probability that a whole channel is dropped
    norm : of which kind
    """

    def __init__(
        self,
        before: int,
        after: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        dropout: float = 0.0,
        norm: Norm = "instance",
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(
            nn.Conv3d(before, after, kernel, stride, padding),
            normed(after, norm),
            nn.ReLU(inplace=True),
            nn.Dropout3d(dropout) if dropout else nn.Identity(),
        )


def normed(channels: int, norm: Norm) -> nn.Module:
    """A norm with learnt scale. BatchNorm's statistics run over hundreds of batches, which differ a lot."""
    if norm == "instance":
        return nn.InstanceNorm3d(channels, affine=True)
    return nn.BatchNorm3d(channels, momentum=0.01)


def settled(network: nn.Module) -> None:
    """Let BatchNorm use its running statistics, as when the network is served, until `train()` is called again."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eval()


class UpNormRelu(nn.Sequential):
    """Transposed convolution 2x2x2 with stride 2, norm, ReLU: doubles the resolution."""

    def __init__(self, before: int, after: int, norm: Norm = "instance") -> None:
        super().__init__(nn.ConvTranspose3d(before, after, 2, 2), normed(after, norm), nn.ReLU(inplace=True))


class Encoder(nn.Module):
    """One encoder level: (down step,) convolutions, and the level's input added to their result.

    Parameters
    ----------
    before, after : channels in and out
    convolutions : how many 3x3x3 convolutions
    down : halve the resolution first (2x2x2 convolution, stride 2); else a 1x1x1 projection fits the channels
    dropout, norm : see `ConvNormRelu`
    """

    def __init__(
        self, before: int, after: int, convolutions: int, *, down: bool, dropout: float, norm: Norm = "instance"
    ) -> None:
        super().__init__()
        self.entry: nn.Module = (
            ConvNormRelu(before, after, kernel=2, stride=2, norm=norm) if down else nn.Conv3d(before, after, 1)
        )
        first = after if down else before
        widths = [first] + [after] * convolutions
        self.convolutions = nn.Sequential(
            *(ConvNormRelu(a, b, dropout=dropout, norm=norm) for a, b in zip(widths, widths[1:], strict=False))
        )
        self.down = down

    def forward(self, x_BCKJI: Tensor) -> Tensor:
        entered_BCKJI: Tensor = self.entry(x_BCKJI)
        result: Tensor = entered_BCKJI + self.convolutions(entered_BCKJI if self.down else x_BCKJI)
        return result


class Decoder(nn.Module):
    """One decoder level: up step, concatenation with the encoder's map, convolutions, plus a 1x1x1 projection of both.

    Parameters
    ----------
    before, after : channels of the coarser map and of the result
    convolutions : how many 3x3x3 convolutions
    dropout, norm : see `ConvNormRelu`
    """

    def __init__(self, before: int, after: int, convolutions: int, *, dropout: float, norm: Norm = "instance") -> None:
        super().__init__()
        self.up = UpNormRelu(before, after, norm)
        self.projection = nn.Conv3d(2 * after, after, 1)
        widths = [2 * after] + [after] * convolutions
        self.convolutions = nn.Sequential(
            *(ConvNormRelu(a, b, dropout=dropout, norm=norm) for a, b in zip(widths, widths[1:], strict=False))
        )

    def forward(self, coarse_BCKJI: Tensor, skip_BCKJI: Tensor) -> Tensor:
        both_BCKJI = torch.cat([self.up(coarse_BCKJI), skip_BCKJI], 1)
        result: Tensor = self.projection(both_BCKJI) + self.convolutions(both_BCKJI)
        return result
