"""DeepLabv3+ with the modified aligned Xception: both segmentation networks of MT-Net (paper 2), and a baseline.

Notable
- every max pool of Xception is a depthwise convolution with a stride, the last one of its block
- 16 middle blocks, output stride 16; atrous spatial pyramid pooling with rates 6, 12, 18 and the mean of the image
- the decoder takes the map of stride 4 as the second separable convolution of the second block left it
- one logit per pixel: a 1x1 convolution to one channel, where DeepLabv3+ has one per class
- `has_prior`: the Fine-layer of MT-Net's second network; a coarse mask joins the pyramid's features
- grey images are enlarged to `edge` pixels inside the network and repeated to three channels; the answer has the size
  of the image again

Sources: paper 2, figures 2 to 4; Chen et al., ECCV 2018 (DeepLabv3+); Xie et al., IEEE TMI 39 (2020) 2482 (MB-DCNN,
which MT-Net follows wherever its text is silent).
Shape suffixes: B batch, C channel, J row, I column.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

COLOURS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLabConfig:
    """Sizes of the network.

    Parameters
    ----------
    width : factor of all channels
    middle : blocks of the middle flow
    edge : pixels along each axis that images are enlarged to
    stride : pixels of the enlarged image per feature of the encoder, 16 or 8
    rates : of the three dilated convolutions of the pyramid, at stride 16
    dropout : after the pyramid and after each of the two convolutions of the decoder
    has_prior : whether there is a Fine-layer
    """

    width: float = 1.0
    middle: int = 16
    edge: int = 224
    stride: int = 16
    rates: tuple[int, int, int] = (6, 12, 18)
    dropout: tuple[float, float, float] = (0.5, 0.5, 0.1)
    has_prior: bool = False

    def channels(self, count: int) -> int:
        """So many channels at this width."""
        return round(count * self.width)


class Separable(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolution, each with batch norm; ReLU before both, or after each."""

    def __init__(self, taken: int, given: int, *, stride: int = 1, dilation: int = 1, is_first: bool = True) -> None:
        super().__init__()
        self.is_first = is_first
        self.depthwise = nn.Conv2d(taken, taken, 3, stride, dilation, dilation, groups=taken, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(taken)
        self.pointwise = nn.Conv2d(taken, given, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(given)

    def forward(self, x_BCJI: Tensor) -> Tensor:
        if self.is_first:
            filtered_BCJI = self.depthwise_norm(self.depthwise(torch.relu(x_BCJI)))
            result: Tensor = self.pointwise_norm(self.pointwise(filtered_BCJI))
            return result
        filtered_BCJI = torch.relu(self.depthwise_norm(self.depthwise(x_BCJI)))
        return torch.relu(self.pointwise_norm(self.pointwise(filtered_BCJI)))


class Block(nn.Module):
    """Three separable convolutions beside a shortcut; `forward` gives what the second one left, and the sum."""

    def __init__(self, widths: tuple[int, int, int], *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        taken, inner, given = widths
        self.first = Separable(taken, inner, dilation=dilation)
        self.second = Separable(inner, given, dilation=dilation)
        self.third = Separable(given, given, stride=stride, dilation=dilation)
        is_same = taken == given and stride == 1
        self.shortcut = (
            nn.Identity()
            if is_same
            else nn.Sequential(nn.Conv2d(taken, given, 1, stride, bias=False), nn.BatchNorm2d(given))
        )

    def forward(self, x_BCJI: Tensor) -> tuple[Tensor, Tensor]:
        fine_BCJI = self.second(self.first(x_BCJI))
        return fine_BCJI, self.third(fine_BCJI) + self.shortcut(x_BCJI)


class AlignedXception(nn.Module):
    """The encoder; `forward` gives the map of stride 4 and the deepest one."""

    def __init__(self, config: DeepLabConfig) -> None:
        super().__init__()
        c, dilation = config.channels, 16 // config.stride
        self.stem = nn.Sequential(*_convolution(COLOURS, c(32), stride=2), *_convolution(c(32), c(64)))
        self.entry = nn.ModuleList(
            (
                Block((c(64), c(128), c(128)), stride=2),
                Block((c(128), c(256), c(256)), stride=2),
                Block((c(256), c(728), c(728)), stride=config.stride // 8),
            )
        )
        self.middle = nn.ModuleList(Block((c(728),) * 3, dilation=dilation) for _ in range(config.middle))
        self.exit = Block((c(728), c(728), c(1024)), dilation=dilation)
        self.last = nn.Sequential(
            Separable(c(1024), c(1536), dilation=dilation, is_first=False),
            Separable(c(1536), c(1536), dilation=dilation, is_first=False),
            Separable(c(1536), c(2048), dilation=dilation, is_first=False),
        )

    def forward(self, image_BCJI: Tensor) -> tuple[Tensor, Tensor]:
        _, x_BCJI = self.entry[0](self.stem(image_BCJI))
        fine_BCJI, x_BCJI = self.entry[1](x_BCJI)
        for block in (self.entry[2], *self.middle, self.exit):
            _, x_BCJI = block(x_BCJI)
        return fine_BCJI, self.last(x_BCJI)


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1, three dilated 3x3 convolutions, and the mean of the image."""

    def __init__(self, taken: int, given: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            (
                nn.Sequential(*_convolution(taken, given, size=1, bias=True)),
                *(nn.Sequential(*_convolution(taken, given, dilation=rate, bias=True)) for rate in rates),
            )
        )
        self.mean = nn.Sequential(*_convolution(taken, given, size=1, bias=True))
        self.join = nn.Sequential(*_convolution(given * (len(rates) + 2), given, size=1, bias=True))

    def forward(self, x_BCJI: Tensor) -> Tensor:
        mean_BCJI = self.mean(x_BCJI.mean((2, 3), keepdim=True)).expand(-1, -1, *x_BCJI.shape[2:])
        result: Tensor = self.join(torch.cat([*(branch(x_BCJI) for branch in self.branches), mean_BCJI], 1))
        return result


class DeepLab(nn.Module):
    """The network.

    `forward` takes grey images, shape (B, 1, J, I), 0..1, and with a Fine-layer the coarse probability of the same
    shape. It gives logits of that shape.
    """

    def __init__(self, config: DeepLabConfig) -> None:
        super().__init__()
        self.config = config
        c, dilation = config.channels, 16 // config.stride
        features, fine = c(256), c(48)
        self.encoder = AlignedXception(config)
        self.pyramid = Pyramid(c(2048), features, tuple(rate * dilation for rate in config.rates))
        self.fine_layer = (
            nn.Sequential(*_convolution(features + 1, features, size=1, bias=True)) if config.has_prior else None
        )
        self.dropout = nn.Dropout(config.dropout[0])
        self.shortcut = nn.Sequential(*_convolution(c(256), fine, size=1, bias=True))
        self.decoder = nn.Sequential(
            *_convolution(features + fine, features, bias=True),
            nn.Dropout(config.dropout[1]),
            *_convolution(features, features, bias=True),
            nn.Dropout(config.dropout[2]),
        )
        self.output = nn.Conv2d(features, 1, 1)
        initialise(self)

    def forward(self, image_B1JI: Tensor, coarse_B1JI: Tensor | None = None) -> Tensor:
        enlarged_B1JI = resized(image_B1JI, (self.config.edge, self.config.edge))
        fine_BCJI, deep_BCJI = self.encoder(enlarged_B1JI.expand(-1, COLOURS, -1, -1))
        x_BCJI = self.dropout(self.pyramid(deep_BCJI))
        if self.fine_layer is not None and coarse_B1JI is not None:
            x_BCJI = self.fine_layer(torch.cat([x_BCJI, self._cells(coarse_B1JI)], 1))
        x_BCJI = resized(x_BCJI, fine_BCJI.shape[2:])
        x_BCJI = self.output(self.decoder(torch.cat([x_BCJI, self.shortcut(fine_BCJI)], 1)))
        return resized(x_BCJI, image_B1JI.shape[2:])

    def _cells(self, coarse_B1JI: Tensor) -> Tensor:
        """The mean of a coarse mask in each cell of the encoder's deepest map."""
        edge, stride = self.config.edge, self.config.stride
        return avg_pool2d(resized(coarse_B1JI, (edge, edge)), stride)


def resized(images_BCJI: Tensor, shape_ji: tuple[int, ...]) -> Tensor:
    """Images brought to a shape, bilinear, with the corners of their outermost pixels in place."""
    if images_BCJI.shape[2:] == shape_ji:
        return images_BCJI
    return interpolate(images_BCJI, size=tuple(shape_ji), mode="bilinear", align_corners=False)


def _convolution(
    taken: int, given: int, *, size: int = 3, stride: int = 1, dilation: int = 1, bias: bool = False
) -> tuple[nn.Module, ...]:
    """Convolution that keeps the shape (but for its stride), batch norm, ReLU."""
    padding = dilation * (size // 2)
    return (
        nn.Conv2d(taken, given, size, stride, padding, dilation, bias=bias),
        nn.BatchNorm2d(given),
        nn.ReLU(),
    )


def initialise(network: nn.Module) -> None:
    """Weights as He et al. (2015) draw them; without pretrained weights this deep network needs it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
