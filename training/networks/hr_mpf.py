"""HR-MPF (paper 1): outlines and classifies a nodule on one slice, trained against a critic.

Notable: three branches (16, 8 and 4 pixels for an image of 64) that never lose the high resolution; they are fused step
by step, from low to high and from high to low resolution, through boosted modules (concatenation and two residual
blocks) where HRNet adds; the decoder (PDM) goes up by deconvolutions; the last step up (DUpsampling) is learnt.
Source: the paper's sections 3.2 to 3.4 and figures 3 to 7; it gives no widths. Those taken here reach its 3.46 M and
0.16 G, see `HrMpfConfig`. HRNetV1 and V2 of its table 4 are the same branches with sums in place of boosted modules.
Called from `training.systems.hr_mpf`.
Shape suffixes: B batch, C channel, J row, I column, 1 and 2 channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, relu

UP = 4
"""Pixels of the image per pixel of the finest branch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HrMpfConfig:
    """Sizes of the network.

    Parameters
    ----------
    width : channels of the finest branch; each coarser one has twice as many
    in_channels : of the image; the paper's counts were made with 3
    backbone : "hr_mpf", or the two that the paper's table 4 compares it with
    fusion : arrangement of the paper's fig. 18 on the way to higher resolution: "a" up, convolution, boosted module;
        "b" up, boosted module, convolution; "c" convolution, up, boosted module
    n1, nb : HRNet's basic blocks in stage 1, and in each branch before each fusion
    m3 : how often stage 3 is repeated
    boost : "plain" takes both inputs into its first residual block, "projected" halves their channels before
    k_up, k_deconv, k_pdm : kernels of the convolution before the step up, of the decoder's deconvolutions and of its
        convolutions
    is_classifying : with the classification module
    """

    width: int
    in_channels: int = 1
    backbone: Literal["hr_mpf", "hrnet_v1", "hrnet_v2"] = "hr_mpf"
    fusion: Literal["a", "b", "c"] = "c"
    n1: int = 0
    nb: int = 0
    m3: int = 2
    boost: Literal["plain", "projected"] = "plain"
    k_up: int = 3
    k_deconv: int = 4
    k_pdm: int = 3
    is_classifying: bool = True

    @property
    def widths(self) -> tuple[int, int, int]:
        """Channels of the branches, finest first."""
        return self.width, 2 * self.width, 4 * self.width


def hr_mpf_paper() -> HrMpfConfig:
    """The paper's network: 3.463 M parameters, 0.156 GMAC; its table 2 prints 3.46 M and 0.16 G."""
    return HrMpfConfig(width=32)


def hr_mpf_hrnet() -> HrMpfConfig:
    """Another reading of the paper, closer to HRNet: 3.41 M parameters, 0.171 GMAC."""
    return HrMpfConfig(width=32, n1=1, nb=4, m3=1, boost="projected", k_up=1, k_deconv=2, k_pdm=1)


def hr_mpf_reduced() -> HrMpfConfig:
    """The other reading at half the width: 0.86 M parameters, 0.043 GMAC."""
    return dataclasses.replace(hr_mpf_hrnet(), width=16)


def hr_mpf_tiny() -> HrMpfConfig:
    """As small as it goes, for tests."""
    return HrMpfConfig(width=4, m3=1)


def hrnet(version: Literal["hrnet_v1", "hrnet_v2"], width: int) -> HrMpfConfig:
    """A backbone of the paper's table 4: four basic blocks per branch, branches added, the result enlarged linearly."""
    return HrMpfConfig(width=width, backbone=version, n1=1, nb=4, m3=1)


class HrMpf(nn.Module):
    """The network. `forward` gives what is served: probability of nodule by pixel, and of malignancy if it classifies.

    `logits` gives what is trained on.
    """

    def __init__(self, config: HrMpfConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = _Backbone(config)
        if config.backbone == "hr_mpf":
            self.decoder: nn.Module = _Pdm(config)
            channels = 2 * config.width
            self.enlarge: nn.Module = _DUpsampling(channels)
        else:
            channels = config.width if config.backbone == "hrnet_v1" else sum(config.widths)
            self.decoder = _Finest() if config.backbone == "hrnet_v1" else _Together(channels)
            self.enlarge = nn.Sequential(
                nn.Conv2d(channels, 2, 1), nn.Upsample(scale_factor=UP, mode="bilinear", align_corners=False)
            )
        self.classifier = _Classifier(channels) if config.is_classifying else None

    def logits(self, image_BCJI: Tensor) -> tuple[Tensor, Tensor | None]:
        """(background, nodule) by pixel, shape (B, 2, J, I), and (benign, malignant), shape (B, 2)."""
        features_BCJI = self.decoder(self.backbone(image_BCJI))
        classes_B2 = None if self.classifier is None else self.classifier(features_BCJI)
        return self.enlarge(features_BCJI), classes_B2

    def forward(self, image_BCJI: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits_B2JI, classes_B2 = self.logits(image_BCJI)
        probability_B1JI = torch.softmax(logits_B2JI, 1)[:, 1:]
        if classes_B2 is None:
            return probability_B1JI
        return probability_B1JI, torch.softmax(classes_B2, 1)[:, 1:]


class Critic(nn.Module):
    """Judges masks and probability maps by pixel: three 4x4 convolutions, the result enlarged to the mask's size.

    The paper calls its output a probability but trains it as a WGAN's critic, so it is linear here.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * width, 1, 4, 1, 1),
        )

    def forward(self, mask_B1JI: Tensor) -> Tensor:
        return interpolate(self.layers(mask_B1JI), mask_B1JI.shape[2:], mode="bilinear", align_corners=False)


class _Backbone(nn.Module):
    """Stem and three stages; a branch of half the resolution joins before the second and the third one."""

    def __init__(self, config: HrMpfConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.widths
        self.stem = nn.Sequential(
            _conv(config.in_channels, fine, stride=2),
            _conv(fine, fine, stride=2),
            *(_BasicBlock(fine) for _ in range(config.n1)),
        )
        self.to_middle = _conv(fine, middle, stride=2)
        self.to_coarse = _conv(middle, coarse, stride=2)
        self.stage2 = _stage(config, 2)
        self.stage3 = nn.Sequential(
            *(_stage(config, 3, is_last=number + 1 == config.m3) for number in range(config.m3))
        )

    def forward(self, image_BCJI: Tensor) -> list[Tensor]:
        """Maps of the branches, finest first."""
        fine_BCJI = self.stem(image_BCJI)
        maps: list[Tensor] = self.stage2([fine_BCJI, self.to_middle(fine_BCJI)])
        result: list[Tensor] = self.stage3([*maps, self.to_coarse(maps[-1])])
        return result


def _stage(config: HrMpfConfig, branches: int, *, is_last: bool = False) -> nn.Module:
    widths = config.widths[:branches]
    blocks = _Blocks(widths, config.nb)
    if config.backbone == "hr_mpf":
        return nn.Sequential(blocks, _Progressive(config, widths))
    return nn.Sequential(blocks, _Sums(widths, 1 if is_last and config.backbone == "hrnet_v1" else branches))


class _Blocks(nn.Module):
    """HRNet's basic blocks, apart in each branch."""

    def __init__(self, widths: Sequence[int], count: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(_BasicBlock(width) for _ in range(count))) for width in widths)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return _through(self.branches, maps)


def _through(modules: nn.ModuleList, maps: Sequence[Tensor]) -> list[Tensor]:
    return [module(map_BCJI) for module, map_BCJI in zip(modules, maps, strict=True)]


class _Progressive(nn.Module):
    """The paper's fusion: once from the coarsest branch up, once from the finest one down.

    The finest branch leaves as it came up, the coarsest one as it came down. Of the middle one the paper does not say
    which way counts; it wants "all scales", so both are added.
    """

    def __init__(self, config: HrMpfConfig, widths: Sequence[int]) -> None:
        super().__init__()
        self.rises = nn.ModuleList(_Rise(config, width) for width in widths[:-1])
        self.falls = nn.ModuleList(_Fall(config, width) for width in widths[:-1])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        last = len(maps) - 1
        up, down = list(maps), list(maps)
        for level in reversed(range(last)):
            up[level] = self.rises[level](maps[level], up[level + 1])
        for level in range(last):
            down[level + 1] = self.falls[level](maps[level + 1], down[level])
        return [up[0], *(up[level] + down[level] for level in range(1, last)), down[last]]


class _Rise(nn.Module):
    """Bring a coarser map (2 width channels) into a finer one (width channels); fig. 18.

    In arrangement (b) the boosted module sees all 3 width channels, so that it has more parameters than the others,
    although the paper's table 5 gives one count for all three.
    """

    def __init__(self, config: HrMpfConfig, width: int) -> None:
        super().__init__()
        self.fusion = config.fusion
        before = width if config.fusion == "b" else 2 * width
        self.convolution = _conv(before, width, config.k_up, is_active=False)
        self.boost = _boost(config, (3 if config.fusion == "b" else 2) * width, width)

    def forward(self, fine_BCJI: Tensor, coarse_BCJI: Tensor) -> Tensor:
        if self.fusion == "c":
            coarse_BCJI = self.convolution(coarse_BCJI)
        coarse_BCJI = interpolate(coarse_BCJI, scale_factor=2.0, mode="bilinear", align_corners=False)
        if self.fusion == "a":
            coarse_BCJI = self.convolution(coarse_BCJI)
        result: Tensor = self.boost(torch.cat([fine_BCJI, coarse_BCJI], 1))
        return self.convolution(result) if self.fusion == "b" else result


class _Fall(nn.Module):
    """Bring a finer map (width channels) into a coarser one (2 width channels)."""

    def __init__(self, config: HrMpfConfig, width: int) -> None:
        super().__init__()
        self.convolution = _conv(width, 2 * width, stride=2, is_active=False)
        self.boost = _boost(config, 4 * width, 2 * width)

    def forward(self, coarse_BCJI: Tensor, fine_BCJI: Tensor) -> Tensor:
        result: Tensor = self.boost(torch.cat([coarse_BCJI, self.convolution(fine_BCJI)], 1))
        return result


class _Sums(nn.Module):
    """HRNet's fusion: each branch becomes the sum of all, brought to its size; the first `count` ones are given."""

    def __init__(self, widths: Sequence[int], count: int) -> None:
        super().__init__()
        self.ways = nn.ModuleList(
            nn.ModuleList(_way(widths, source, target) for source in range(len(widths))) for target in range(count)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        return [relu(torch.stack(_through(cast(nn.ModuleList, ways), maps)).sum(0)) for ways in self.ways]


def _way(widths: Sequence[int], source: int, target: int) -> nn.Module:
    if source > target:
        up = nn.Upsample(scale_factor=2 ** (source - target), mode="bilinear", align_corners=False)
        return nn.Sequential(_conv(widths[source], widths[target], 1, is_active=False), up)
    inner = [_conv(widths[source], widths[source], stride=2) for _ in range(target - source - 1)]
    last = [_conv(widths[source], widths[target], stride=2, is_active=False)] if target > source else []
    return nn.Sequential(*inner, *last)


class _Pdm(nn.Module):
    """The progressive decoder (fig. 5): one map with 2 width channels at the finest resolution."""

    def __init__(self, config: HrMpfConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.widths
        self.coarse_up = _deconv(coarse, middle, config.k_deconv)
        self.middle_up = _deconv(middle, fine, config.k_deconv)
        self.middle = _conv(2 * middle, middle, config.k_pdm)
        self.fine = _conv(2 * fine, fine, config.k_pdm)
        self.last_up = _deconv(middle, fine, config.k_deconv)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        fine_BCJI, middle_BCJI, coarse_BCJI = maps
        lower_BCJI = self.middle(torch.cat([middle_BCJI, self.coarse_up(coarse_BCJI)], 1))
        upper_BCJI = self.fine(torch.cat([fine_BCJI, self.middle_up(middle_BCJI)], 1))
        return torch.cat([upper_BCJI, self.last_up(lower_BCJI)], 1)


class _DUpsampling(nn.Module):
    """A step up that is learnt: each pixel's features give the logits of a block of 4 x 4 pixels (paper, fig. 6).

    `matrix` is the paper's W; the temperature is that of DUpsampling (Tian et al., CVPR 2019), its reference 32.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.matrix = nn.Conv2d(channels, 2 * UP * UP, 1, bias=False)
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, features_BCJI: Tensor) -> Tensor:
        return pixel_shuffle(self.matrix(features_BCJI), UP) / self.temperature


class _Finest(nn.Module):
    """HRNetV1 goes on with the finest branch only."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return maps[0]


class _Together(nn.Module):
    """HRNetV2 goes on with all branches, enlarged to the finest one and mixed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = _conv(channels, channels, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        size = maps[0].shape[2:]
        enlarged = [interpolate(map_BCJI, size, mode="bilinear", align_corners=False) for map_BCJI in maps[1:]]
        result: Tensor = self.mix(torch.cat([maps[0], *enlarged], 1))
        return result


class _Classifier(nn.Sequential):
    """The decoder's map to (benign, malignant): mean over the image, a vector of 128, one fully connected layer."""

    def __init__(self, channels: int) -> None:
        super().__init__(_Mean(), nn.Linear(channels, 128), nn.ReLU(inplace=True), nn.Linear(128, 2))


class _Mean(nn.Module):
    def forward(self, map_BCJI: Tensor) -> Tensor:
        return map_BCJI.mean((2, 3))


class _BasicBlock(nn.Module):
    """HRNet's residual block: normalised after each convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(width, width), _conv(width, width, is_active=False))

    def forward(self, x_BCJI: Tensor) -> Tensor:
        return relu(x_BCJI + self.layers(x_BCJI))


class _Residual(nn.Module):
    """The boosted module's residual block: normalised before each convolution (He et al. 2016, the paper's [28])."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ReLU(inplace=True),
            nn.Conv2d(before, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
        )
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x_BCJI: Tensor) -> Tensor:
        result: Tensor = self.layers(x_BCJI) + self.shortcut(x_BCJI)
        return result


def _boost(config: HrMpfConfig, before: int, after: int) -> nn.Module:
    """The boosted module: two residual blocks (fig. 4)."""
    if config.boost == "plain":
        return nn.Sequential(_Residual(before, after), _Residual(after, after))
    return nn.Sequential(nn.Conv2d(before, after, 1, bias=False), _Residual(after, after), _Residual(after, after))


def _conv(before: int, after: int, kernel: int = 3, *, stride: int = 1, is_active: bool = True) -> nn.Module:
    layers = [nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if is_active else []))


def _deconv(before: int, after: int, kernel: int) -> nn.Module:
    """Doubles the resolution: a kernel of 4 with padding 1, or of 2 without."""
    layer = nn.ConvTranspose2d(before, after, kernel, 2, kernel // 2 - 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU(inplace=True))
