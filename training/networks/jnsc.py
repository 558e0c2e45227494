"""JNSC (paper 4): one 3-D network that finds and outlines nodules, and a head that classifies each candidate.

The dense network gives a probability per voxel and the five encoder maps after their 1x1x1 convolution, so that the
features of a candidate are an integer crop and an adaptive max pool, the same in torch here and in numpy when served
(`inference.classify`). Called from `training.systems.jnsc`.
Shape suffixes: B batch, C channel, K J I space, N candidates, F features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool3d

from training.networks.blocks import Decoder, Encoder, Norm

CLASSES = ("benign", "malignant", "non-nodule")
STRIDES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class JnscConfig:
    """Sizes of the network.

    Parameters
    ----------
    width : channels of the first level, doubled at each of the four next ones
    convolutions : 3x3x3 convolutions at each of the five levels (decoder levels use those of their encoder level)
    dropout : of whole channels
    bins : cells per axis that a candidate's crop is pooled to, per level (paper 4, section II-B)
    norm : "instance" as in the paper, or "batch" for a network that sees a whole CT in one pass
    """

    width: int
    convolutions: tuple[int, int, int, int, int]
    dropout: float
    bins: tuple[int, int, int, int, int] = (2, 2, 1, 1, 1)
    norm: Norm = "instance"

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the five levels."""
        return tuple(self.width * 2**level for level in range(5))

    @property
    def feature_count(self) -> int:
        """Length of a candidate's feature vector, its size included."""
        return sum(width * bins**3 for width, bins in zip(self.widths, self.bins, strict=True)) + 1


def jnsc_paper() -> JnscConfig:
    """The paper's network: 10.08 M parameters, 14.1 GMAC per 64^3 window, 832 features and the size."""
    return JnscConfig(width=16, convolutions=(1, 2, 3, 3, 3), dropout=0.1)


def jnsc_reduced() -> JnscConfig:
    """Half the width and fewer convolutions, for training and serving on a CPU."""
    return JnscConfig(width=8, convolutions=(1, 1, 2, 2, 2), dropout=0.0)


def jnsc_quarter() -> JnscConfig:
    """A quarter of the width and fewer convolutions, for comparisons of trainings on a CPU."""
    return JnscConfig(width=4, convolutions=(1, 1, 2, 2, 2), dropout=0.0)


def jnsc_tiny() -> JnscConfig:
    """As small as it goes, for tests."""
    return JnscConfig(width=2, convolutions=(1, 1, 1, 1, 1), dropout=0.0)


class Jnsc(nn.Module):
    """The dense network.

    `forward` gives what is served: (probability, v1..v5); `logits` gives what segmentation is trained on.
    """

    def __init__(self, config: JnscConfig) -> None:
        super().__init__()
        self.config = config
        widths, counts, dropout, norm = config.widths, config.convolutions, config.dropout, config.norm
        self.encoders = nn.ModuleList(
            Encoder(1 if k == 0 else widths[k - 1], widths[k], counts[k], down=k > 0, dropout=dropout, norm=norm)
            for k in range(5)
        )
        self.decoders = nn.ModuleList(
            Decoder(widths[k + 1], widths[k], counts[k], dropout=dropout, norm=norm) for k in reversed(range(4))
        )
        self.output = nn.Conv3d(widths[0], 1, 1)
        self.taps = nn.ModuleList(nn.Conv3d(width, width, 1) for width in widths)

    def encode(self, window_BCKJI: Tensor) -> list[Tensor]:
        """Raw maps of the five encoder levels, finest first."""
        maps = [window_BCKJI]
        for encoder in self.encoders:
            maps.append(encoder(maps[-1]))
        return maps[1:]

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits, shape (B, 1, K, J, I), from the encoder maps."""
        x_BCKJI = maps[-1]
        for decoder, skip_BCKJI in zip(self.decoders, reversed(maps[:-1]), strict=True):
            x_BCKJI = decoder(x_BCKJI, skip_BCKJI)
        result: Tensor = self.output(x_BCKJI)
        return result

    def tap(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The maps v1..v5 that the head takes its features from."""
        return [torch.relu(tap(map_BCKJI)) for tap, map_BCKJI in zip(self.taps, maps, strict=True)]

    def forward(self, window_BCKJI: Tensor) -> tuple[Tensor, ...]:
        maps = self.encode(window_BCKJI)
        return (torch.sigmoid(self.decode(maps)), *self.tap(maps))


class JnscHead(nn.Module):
    """One linear layer from a candidate's features to (benign, malignant, non-nodule).

    `forward` gives probabilities, as served; `logits` is what is trained.
    """

    def __init__(self, config: JnscConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.feature_count, len(CLASSES))

    def logits(self, features_NF: Tensor) -> Tensor:
        """Shape (N, 3)."""
        result: Tensor = self.linear(features_NF)
        return result

    def forward(self, features_NF: Tensor) -> Tensor:
        return torch.softmax(self.logits(features_NF), 1)


Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def features_from_maps(maps: Sequence[Tensor], box: Box, voxels: int, bins: Sequence[int]) -> Tensor:
    """Features of one candidate in one window.

    Parameters
    ----------
    maps : v1..v5 of the window, each of shape (C, K, J, I)
    box : the candidate's bounding box in the window, [start, stop) per axis, in voxels of 1 mm
    voxels : size of the candidate's component
    bins : cells per axis for each map

    Returns
    -------
    shape (F,): the pooled maps in channel-major order, finest first, then 0.1 * voxels ** (1/3) (paper 4, section II-B)
    """
    pooled = []
    for map_CKJI, stride, count in zip(maps, STRIDES, bins, strict=True):
        k, j, i = (slice(start // stride, max(start // stride + 1, math.ceil(stop / stride))) for start, stop in box)
        pooled.append(adaptive_max_pool3d(map_CKJI[:, k, j, i], count).flatten())
    return torch.cat([*pooled, pooled[0].new_tensor([0.1 * voxels ** (1 / 3)])])
