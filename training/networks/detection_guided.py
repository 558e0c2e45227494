"""The detection-guided network (paper 3, arXiv 2410.20154): a classifier helps a segmenter whose output is smooth.

Notable features
- ResNet-50 says whether a slice shows a nodule; its maps C1..C4 enter a ResU-Net's encoder at S2..S5 through feature
  combination blocks of equal size, one way only.
- ASPP (dilations 1, 5, 10, 15) at the bottom and after the last decoder block. On the 8 x 8 map at the bottom the
  dilations 10 and 15 act as 1 x 1 convolutions; kept as in the paper.
- `Std`: a sigmoid with soft threshold dynamics and the classifier's answer as a prior; ten unrolled steps, two learnt
  scalars.
Beyond the paper: its classifier has one answer, "a nodule is present"; here the fully connected layer has a second one,
"the nodule is malignant", so that the system can serve malignancy. Only presence guides `Std`.
Figures of the layers: NETWORKS.md section 3. Called from `training.systems.detection_guided`.
Shape suffixes: B batch, C channel, J I space, 1 channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.resnet import EXPANSION, ResNet

DILATIONS = (1, 5, 10, 15)
KERNEL = 9
STEPS = 10
"""Of the iteration ("converge quickly within ten steps", paper 3, section 3.3): on logits of a few units the last step
moves no pixel by 1e-6, on weak ones around 1 by 1e-5."""

Iteration = Literal["derived", "as_printed"]


class Output(StrEnum):
    """How logits of pixels become probabilities."""

    PLAIN = "plain sigmoid"
    STD = "STD"
    STD_PRIOR = "STD + prior"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionGuidedConfig:
    """Size and parts of the network.

    Parameters
    ----------
    width : channels of S1 and of the classifier's stem
    depths : bottlenecks of C2..C5
    combine : False = without feature combination blocks: the segmenter works alone (ablation, Table 3)
    iteration : of `Std`
    """

    width: int = 64
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    combine: bool = True
    iteration: Iteration = "derived"


def detection_guided_paper() -> DetectionGuidedConfig:
    """The paper's network: 90.45 M parameters, 15.06 GMAC at 128 x 128."""
    return DetectionGuidedConfig()


def detection_guided_reduced() -> DetectionGuidedConfig:
    """For a CPU: 5.1 M parameters, 0.23 GMAC at 64 x 64."""
    return DetectionGuidedConfig(width=16, depths=(2, 2, 2, 2))


def detection_guided_tiny() -> DetectionGuidedConfig:
    """For tests."""
    return DetectionGuidedConfig(width=4, depths=(1, 1, 1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the network says before any sigmoid.

    Parameters
    ----------
    mask_B1JI : logits of the pixels, u in the paper
    presence_B, malignancy_B : logits of "a nodule is present" and "it is malignant"
    """

    mask_B1JI: Tensor
    presence_B: Tensor
    malignancy_B: Tensor


class DetectionGuided(nn.Module):
    """Classifier and segmenter. The image's sides must be multiples of 16."""

    def __init__(self, config: DetectionGuidedConfig) -> None:
        super().__init__()
        self.classifier = ResNet(config.width, config.depths, answers=2)
        self.segmenter = Segmenter(config)
        self.std = Std(config.iteration)

    def forward(self, x_B1JI: Tensor) -> Evidence:
        maps, answers_B2 = self.classifier(x_B1JI)
        return Evidence(
            mask_B1JI=self.segmenter(x_B1JI, maps), presence_B=answers_B2[:, 0], malignancy_B=answers_B2[:, 1]
        )

    def probability(self, evidence: Evidence, output: Output) -> Tensor:
        """Of the pixels to be nodule: shape (B, 1, J, I), float32."""
        if output is Output.PLAIN:
            return torch.sigmoid(evidence.mask_B1JI.float())
        presence_B = torch.sigmoid(evidence.presence_B.float()) if output is Output.STD_PRIOR else None
        result: Tensor = self.std(evidence.mask_B1JI, presence_B)
        return result


class Answers(nn.Module):
    """The network as it is served: probability of the pixels (B, 1, J, I); malignancy and presence, (B, 1) each."""

    def __init__(self, network: DetectionGuided, output: Output) -> None:
        super().__init__()
        self.network = network
        self.output = output

    def forward(self, image_B1JI: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        evidence: Evidence = self.network(image_B1JI)
        malignancy_B, presence_B = torch.sigmoid(evidence.malignancy_B), torch.sigmoid(evidence.presence_B)
        return self.network.probability(evidence, self.output), malignancy_B[:, None], presence_B[:, None]


class Segmenter(nn.Module):
    """ResU-Net with five encoder blocks S1..S5 and four decoder blocks S6..S9."""

    def __init__(self, config: DetectionGuidedConfig) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = (config.width * 2**level for level in range(5))
        watched = (config.width, *(EXPANSION * config.width * 2**level for level in range(3)))
        self.s1 = Entry(w1)
        self.s2, self.s3 = ResidualUnit(w1, w2, 2), ResidualUnit(w2, w3, 2)
        self.s4, self.s5 = ResidualUnit(w3, w4, 2), ResidualUnit(w4, w5, 2)
        self.combinations = nn.ModuleList(
            Combination(ours, theirs) if config.combine else Alone()
            for ours, theirs in zip((w2, w3, w4, w5), watched, strict=True)
        )
        self.bottom = Aspp(w5)
        self.s6, self.s7 = ResidualUnit(w5 + w4, w4, 1), ResidualUnit(w4 + w3, w3, 1)
        self.s8, self.s9 = ResidualUnit(w3 + w2, w2, 1), ResidualUnit(w2 + w1, w1, 1)
        self.top = Aspp(w1)
        self.head = nn.Conv2d(w1, 1, 1)

    def forward(self, x_B1JI: Tensor, maps: tuple[Tensor, ...]) -> Tensor:
        """Logits of the pixels, from the image and the classifier's maps C1..C4."""
        x_BCJI = self.s1(x_B1JI)
        skips = [x_BCJI]
        encoder = (self.s2, self.s3, self.s4, self.s5)
        for block, combination, map_BCJI in zip(encoder, self.combinations, maps, strict=True):
            x_BCJI = combination(block(x_BCJI), map_BCJI)
            skips.append(x_BCJI)
        x_BCJI = self.bottom(skips.pop())
        for block in (self.s6, self.s7, self.s8, self.s9):
            up_BCJI = functional.interpolate(x_BCJI, scale_factor=2.0, mode="bilinear", align_corners=False)
            x_BCJI = block(torch.cat([up_BCJI, skips.pop()], 1))
        logits_B1JI: Tensor = self.head(self.top(x_BCJI))
        return logits_B1JI


class Entry(nn.Module):
    """S1: two 3x3 convolutions and a projection of the image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(1, width, 1)

    def forward(self, x_B1JI: Tensor) -> Tensor:
        result: Tensor = self.residual(x_B1JI) + self.shortcut(x_B1JI)
        return result


class Separable(nn.Sequential):
    """3x3 convolution of each channel by itself, then 1x1 over the channels."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(before, before, 3, stride, 1, groups=before), nn.Conv2d(before, after, 1))


class ResidualUnit(nn.Module):
    """BN, ReLU, separable convolution (stride), BN, ReLU, 3x3 convolution, plus a projection of the input."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.ReLU(),
            Separable(before, after, stride),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride), nn.BatchNorm2d(after))

    def forward(self, x_BCJI: Tensor) -> Tensor:
        result: Tensor = self.residual(x_BCJI) + self.shortcut(x_BCJI)
        return result


class Combination(nn.Module):
    """Feature combination block: a map of the classifier is adapted, joined to the segmenter's and fused."""

    def __init__(self, ours: int, theirs: int) -> None:
        super().__init__()
        self.adapt = nn.Conv2d(theirs, theirs, 1)
        self.reduce = nn.Conv2d(ours + theirs, ours, 1)
        self.fuse = Separable(ours, ours)

    def forward(self, ours_BCJI: Tensor, theirs_BCJI: Tensor) -> Tensor:
        joined_BCJI = torch.cat([ours_BCJI, self.adapt(theirs_BCJI)], 1)
        result: Tensor = self.fuse(self.reduce(joined_BCJI))
        return result


class Alone(nn.Module):
    """In the place of a combination block when there is none."""

    def forward(self, ours_BCJI: Tensor, theirs_BCJI: Tensor) -> Tensor:
        return ours_BCJI


class Aspp(nn.Module):
    """Four parallel atrous convolutions, joined and brought back to as many channels; no pooling of the image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            )
            for dilation in DILATIONS
        )
        self.join = nn.Conv2d(len(DILATIONS) * width, width, 1)

    def forward(self, x_BCJI: Tensor) -> Tensor:
        result: Tensor = self.join(torch.cat([branch(x_BCJI) for branch in self.branches], 1))
        return result


class Std(nn.Module):
    """Sigmoid with soft threshold dynamics (STD) and the classifier's prior: minimises the paper's energy (4).

    -<u, x> + <x, ln x> + <1 - x, ln(1 - x)> + lambda1 <x, k * (1 - x)> + lambda2 (1 - c) <1, x>, with epsilon = 1,
    lambda1 = 1 and k a Gaussian of width sigma. Linearising the concave third term at x_t gives the derived iteration

        x_0 = sigmoid(u),  x_{t+1} = sigmoid(u - lambda1 k * (1 - 2 x_t) - lambda2 (1 - c)).

    The paper prints x_t in the place of u in (3) and (5), which forgets the evidence; `as_printed` does that.

    Parameters
    ----------
    iteration : which of the two
    smoothness : lambda1; 1 in the paper

    Attributes
    ----------
    raw_sigma, raw_prior : softplus of them are sigma (pixels) and lambda2; both are learnt and begin at 1
    """

    def __init__(self, iteration: Iteration = "derived", smoothness: float = 1.0) -> None:
        super().__init__()
        self.iteration = iteration
        self.smoothness = smoothness
        self.raw_sigma = nn.Parameter(torch.tensor(math.log(math.e - 1.0)))
        self.raw_prior = nn.Parameter(torch.tensor(math.log(math.e - 1.0)))

    @property
    def sigma(self) -> Tensor:
        """Width of the Gaussian, pixels."""
        return functional.softplus(self.raw_sigma)

    @property
    def prior(self) -> Tensor:
        """lambda2: by how much an absent nodule lowers each pixel's logit."""
        return functional.softplus(self.raw_prior)

    def forward(self, u_B1JI: Tensor, presence_B: Tensor | None, steps: int = STEPS) -> Tensor:
        """Probabilities of the pixels, always computed in float32.

        Parameters
        ----------
        u_B1JI : logits of the pixels
        presence_B : probability c of a nodule, no gradient flows into it; None = without the prior (lambda2 = 0)
        steps : of the iteration
        """
        kind = u_B1JI.device.type
        if torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self._settled(u_B1JI, presence_B, steps)
        return self._settled(u_B1JI, presence_B, steps)

    def _settled(self, u_B1JI: Tensor, presence_B: Tensor | None, steps: int) -> Tensor:
        u_B1JI = u_B1JI.float()
        absent_B111 = 0.0 if presence_B is None else self.prior * (1 - presence_B.detach().float())[:, None, None, None]
        kernel_J, kernel_I = self._kernels()
        x_B1JI = torch.sigmoid(u_B1JI)
        for _ in range(steps):
            edged_B1JI = functional.pad(1 - 2 * x_B1JI, (KERNEL // 2,) * 4, mode="replicate")
            smooth_B1JI = functional.conv2d(functional.conv2d(edged_B1JI, kernel_J), kernel_I)
            evidence_B1JI = u_B1JI if self.iteration == "derived" else x_B1JI
            x_B1JI = torch.sigmoid(evidence_B1JI - self.smoothness * smooth_B1JI - absent_B111)
        return x_B1JI

    def _kernels(self) -> tuple[Tensor, Tensor]:
        """The Gaussian's two factors, along rows and columns; their product sums to 1."""
        distance = torch.arange(KERNEL, device=self.raw_sigma.device, dtype=torch.float32) - KERNEL // 2
        weights = torch.softmax(-0.5 * (distance / self.sigma) ** 2, 0)
        return weights.view(1, 1, KERNEL, 1), weights.view(1, 1, 1, KERNEL)
