"""MT-Net (paper 2): a coarse and a fine segmentation network and a classifier, each trained alone, in this order.

Notable
- the coarse and the fine network are the same DeepLabv3+ (`training.networks.deeplab`); the fine one starts from the
  coarse one's weights and has one more layer, which takes the coarse mask
- the classifier is Xception; the coarse mask is its fourth channel
- the classifier's last max pool is gone, and its last two separable convolutions are dilated instead
- nothing is shared when it runs: three networks, of which two are fed by the first

Sources: paper 2, figures 1 to 5; Chollet, CVPR 2017 (Xception); Xie et al., IEEE TMI 39 (2020) 2482 (MB-DCNN).
Shape suffixes: B batch, C channel, J row, I column.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from training.networks.deeplab import COLOURS, DeepLabConfig, initialise, resized


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassNetConfig:
    """Sizes of the classifier.

    Parameters
    ----------
    width : factor of all channels
    middle : blocks of the middle flow
    edge : pixels along each axis that images are enlarged to
    has_mask : whether the coarse mask is a fourth channel
    """

    width: float = 1.0
    middle: int = 8
    edge: int = 224
    has_mask: bool = True

    def channels(self, count: int) -> int:
        """So many channels at this width."""
        return round(count * self.width)


@dataclass(frozen=True, slots=True, kw_only=True)
class MtNetConfig:
    """The networks of the system; the fine one is `segmenter` with a Fine-layer."""

    segmenter: DeepLabConfig = DeepLabConfig()
    classifier: ClassNetConfig = ClassNetConfig()


def mt_net_paper() -> MtNetConfig:
    """The paper's networks: 54.71 M, 54.77 M and 20.81 M parameters, 15.84 and 5.36 GMAC."""
    return MtNetConfig()


def mt_net_reduced() -> MtNetConfig:
    """A quarter of the width and of the depth, for training and serving on a CPU: 2.25 M and 0.72 M parameters.

    Images are enlarged to 96 pixels: at 64 the encoder would be left with 4x4 features and the decoder with 16x16.
    The rates of the pyramid keep about their share of the map, which is 6 instead of 14 cells wide.
    """
    return MtNetConfig(
        segmenter=DeepLabConfig(width=0.25, middle=4, edge=96, rates=(1, 2, 4), dropout=(0.1, 0.1, 0.0)),
        classifier=ClassNetConfig(width=0.25, middle=2, edge=96),
    )


def mt_net_tiny() -> MtNetConfig:
    """As small as it goes, for tests."""
    return MtNetConfig(
        segmenter=DeepLabConfig(width=0.0625, middle=1, edge=64, rates=(1, 2, 3), dropout=(0.0, 0.0, 0.0)),
        classifier=ClassNetConfig(width=0.0625, middle=1, edge=64),
    )


class Separable(nn.Module):
    """Depthwise 3x3, pointwise 1x1 convolution, batch norm; no norm between, unlike the segmenter's."""

    def __init__(self, taken: int, given: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(taken, taken, 3, 1, dilation, dilation, groups=taken, bias=False)
        self.pointwise = nn.Conv2d(taken, given, 1, bias=False)
        self.norm = nn.BatchNorm2d(given)

    def forward(self, x_BCJI: Tensor) -> Tensor:
        result: Tensor = self.norm(self.pointwise(self.depthwise(x_BCJI)))
        return result


class Block(nn.Module):
    """Separable convolutions beside a shortcut, and a max pool if the block has a stride.

    Parameters
    ----------
    widths : channels taken, and given by each convolution
    stride : 1 or 2
    is_first : whether the first convolution has a ReLU before it
    """

    def __init__(self, *widths: int, stride: int = 1, is_first: bool = True) -> None:
        super().__init__()
        self.stride, self.is_first = stride, is_first
        self.parts = nn.ModuleList(Separable(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        is_same = widths[0] == widths[-1] and stride == 1
        self.shortcut = (
            nn.Identity()
            if is_same
            else nn.Sequential(nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False), nn.BatchNorm2d(widths[-1]))
        )

    def forward(self, x_BCJI: Tensor) -> Tensor:
        y_BCJI = x_BCJI
        for number, part in enumerate(self.parts):
            y_BCJI = part(torch.relu(y_BCJI) if number or self.is_first else y_BCJI)
        if self.stride > 1:
            y_BCJI = max_pool2d(y_BCJI, 3, self.stride, 1)
        result: Tensor = y_BCJI + self.shortcut(x_BCJI)
        return result


class ClassNet(nn.Module):
    """The classifier.

    `forward` takes grey images and their coarse masks, each of shape (B, 1, J, I), 0..1, and gives the logit of being
    malignant, shape (B, 1).
    """

    def __init__(self, config: ClassNetConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        taken = COLOURS + config.has_mask
        self.first = nn.Sequential(nn.Conv2d(taken, c(32), 3, 2, bias=False), nn.BatchNorm2d(c(32)), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(c(32), c(64), 3, bias=False), nn.BatchNorm2d(c(64)), nn.ReLU())
        self.blocks = nn.ModuleList(
            (
                Block(c(64), c(128), c(128), stride=2, is_first=False),
                Block(c(128), c(256), c(256), stride=2),
                Block(c(256), c(728), c(728), stride=2),
                *(Block(*(c(728),) * 4) for _ in range(config.middle)),
                Block(c(728), c(728), c(1024)),
            )
        )
        self.last = nn.Sequential(
            Separable(c(1024), c(1536), dilation=2), nn.ReLU(), Separable(c(1536), c(2048), dilation=2), nn.ReLU()
        )
        self.output = nn.Linear(c(2048), 1)
        initialise(self)
        if config.has_mask:
            self.start_mask_channel()

    @torch.no_grad()
    def start_mask_channel(self) -> None:
        """Give the mask's channel of the first convolution the mean weights of the three colours (section 3.2.4)."""
        convolution = self.first[0]
        assert isinstance(convolution, nn.Conv2d)
        convolution.weight[:, COLOURS:] = convolution.weight[:, :COLOURS].mean(1, keepdim=True)

    def forward(self, image_B1JI: Tensor, coarse_B1JI: Tensor) -> Tensor:
        edge = (self.config.edge, self.config.edge)
        x_BCJI = resized(image_B1JI, edge).expand(-1, COLOURS, -1, -1)
        if self.config.has_mask:
            x_BCJI = torch.cat([x_BCJI, resized(coarse_B1JI, edge)], 1)
        x_BCJI = self.second(self.first(x_BCJI))
        for block in self.blocks:
            x_BCJI = block(x_BCJI)
        result: Tensor = self.output(self.last(x_BCJI).mean((2, 3)))
        return result
