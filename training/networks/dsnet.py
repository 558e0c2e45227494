"""DSNet (paper 5): a U-Net with attention over an image that a super-resolution teacher has enlarged.

- Detail from a frozen teacher (`training.networks.srgan`): its image and its last feature maps, fused with the plainly
  enlarged image by one convolution (EDRFM) or by weights per channel and branch (SDRFM).
- Basic block: two 3x3 convolutions, CBAM (channel, then spatial attention), residual connection.
- Down by 4x4 convolutions that double the channels, up by 4x4 transposed ones: no pooling, no norm in between.
- Works on the enlarged grid and answers a soft mask, the probability of each pixel.
- A discriminator that judges every pixel by itself from image and mask (the PixelGAN of pix2pix).

Called from `training.systems.dsnet_training`. NETWORKS 5.3, 5.4; CBAM: Woo et al., arXiv:1807.06521.
Shape suffixes: B batch, C channel, J row, I column; 1 one channel, 2 two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from training.networks.srgan import Generator

Fusion = Literal["image", "interpolated", "super-resolved", "efficient", "selective"]
"""What the U-Net sees: the image itself; enlarged by bicubic interpolation; by the teacher; EDRFM; SDRFM."""

Norm = Literal["batch", "instance"]

LEVELS = 5
REDUCTION = 16
"""Of the channels inside CBAM's channel attention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DsNetConfig:
    """Sizes of the network, and which of the paper's parts it has.

    Parameters
    ----------
    width : channels of the first of five levels, doubled at each next one
    factor : enlargement of the image; 1 where the U-Net sees the image itself
    detail : channels of the teacher's feature maps
    fusion : what the U-Net sees
    is_improved : the paper's backbone, else a classic U-Net
    norm : "instance" with batches of one sample, where BatchNorm would be the same in training but not in use
    pixel_width : channels of the discriminator's first layer, doubled at the second
    """

    width: int
    factor: int
    detail: int
    fusion: Fusion = "selective"
    is_improved: bool = True
    norm: Norm = "batch"
    pixel_width: int = 64

    @property
    def has_teacher(self) -> bool:
        """Whether the U-Net needs the teacher's answers."""
        return self.fusion not in {"image", "interpolated"}


def dsnet_paper() -> DsNetConfig:
    """The literal reading: 59.3 M parameters and 83 GMAC with its teacher at 256^2."""
    return DsNetConfig(width=64, factor=4, detail=64, norm="instance")


def dsnet_32() -> DsNetConfig:
    """Half the width: 16.0 M parameters and 27.7 GMAC with its teacher at 256^2."""
    return DsNetConfig(width=32, factor=4, detail=64, norm="instance")


def dsnet_reduced() -> DsNetConfig:
    """For a CPU: an eighth of the width, with the reduced teacher, which only doubles the size."""
    return DsNetConfig(width=8, factor=2, detail=32, pixel_width=16)


class DsNet(nn.Module):
    """From an image, and what the teacher makes of it, to a soft mask on the enlarged grid."""

    def __init__(self, config: DsNetConfig) -> None:
        super().__init__()
        self.config = config
        self.fusion = _fusion(config)
        self.backbone = _UNet(config, config.width if config.fusion in {"efficient", "selective"} else 1)

    def forward(self, image_B1JI: Tensor, teacher: Generator | None) -> Tensor:
        """Probability of each pixel, shape (B, 1, factor J, factor I). The teacher is asked, but not taught."""
        logits_B1JI = self.backbone(self._seen(image_B1JI, teacher))
        return torch.sigmoid(logits_B1JI.float())

    def _seen(self, image_B1JI: Tensor, teacher: Generator | None) -> Tensor:
        plain_B1JI = enlarged(image_B1JI, self.config.factor)
        if teacher is None:
            return plain_B1JI
        with torch.no_grad():
            sharp_B1JI, detail_BCJI = teacher(image_B1JI)
        seen_BCJI: Tensor = self.fusion(plain_B1JI, sharp_B1JI, detail_BCJI)
        return seen_BCJI


class ServedDsNet(nn.Module):
    """From the image to the soft mask at the image's own size: everything that is exported."""

    def __init__(self, network: DsNet, teacher: Generator | None) -> None:
        super().__init__()
        self.network, self.teacher = network, teacher

    def forward(self, image_B1JI: Tensor) -> Tensor:
        """Probability, shape of the image: the mean over the pixels that a pixel was enlarged to."""
        return avg_pool2d(self.network(image_B1JI, self.teacher), self.network.config.factor)


class PixelDiscriminator(nn.Module):
    """From image and soft mask to the logit, per pixel, of the mask being a real one: about 9 k parameters."""

    def __init__(self, config: DsNetConfig) -> None:
        super().__init__()
        width = config.pixel_width
        self.layers = nn.Sequential(
            nn.Conv2d(2, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 1),
            _norm(config, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1),
        )

    def forward(self, image_B1JI: Tensor, soft_B1JI: Tensor) -> Tensor:
        """Logits of the shape of the mask; the image is of the same size."""
        logits_B1JI: Tensor = self.layers(torch.cat([image_B1JI, soft_B1JI], 1))
        return logits_B1JI


def enlarged(image_B1JI: Tensor, factor: int) -> Tensor:
    """Bicubic."""
    if factor == 1:
        return image_B1JI
    size_ji = [edge * factor for edge in image_B1JI.shape[2:]]
    return interpolate(image_B1JI, size=size_ji, mode="bicubic", align_corners=False)


class _SuperResolved(nn.Module):
    """SR input: the teacher's image in the place of the image."""

    def forward(self, plain_B1JI: Tensor, sharp_B1JI: Tensor, detail_BCJI: Tensor) -> Tensor:
        return sharp_B1JI


class _Efficient(nn.Module):
    """EDRFM: everything through one convolution."""

    def __init__(self, config: DsNetConfig) -> None:
        super().__init__()
        self.fuse = nn.Conv2d(2 + config.detail, config.width, 3, padding=1)

    def forward(self, plain_B1JI: Tensor, sharp_B1JI: Tensor, detail_BCJI: Tensor) -> Tensor:
        fused_BCJI: Tensor = self.fuse(torch.cat([plain_B1JI, sharp_B1JI, detail_BCJI], 1))
        return fused_BCJI


class _Selective(nn.Module):
    """SDRFM: a context branch (both images) and a detail branch (feature maps), weighed per channel by a softmax."""

    def __init__(self, config: DsNetConfig) -> None:
        super().__init__()
        squeezed = max(8, config.width // 4)
        self.context = _conv_norm_relu(config, 2, config.width)
        self.detail = _conv_norm_relu(config, config.detail, config.width)
        self.squeeze = nn.Sequential(nn.Linear(config.width, squeezed), nn.ReLU())
        self.choose = nn.Linear(squeezed, 2 * config.width)

    def forward(self, plain_B1JI: Tensor, sharp_B1JI: Tensor, detail_BCJI: Tensor) -> Tensor:
        context_BCJI = self.context(torch.cat([plain_B1JI, sharp_B1JI], 1))
        detail_BCJI = self.detail(detail_BCJI)
        squeezed_BC = self.squeeze((context_BCJI + detail_BCJI).mean((2, 3)))
        weights_B2C = self.choose(squeezed_BC).unflatten(1, (2, -1)).softmax(1)
        context_BC11, detail_BC11 = weights_B2C[..., None, None].unbind(1)
        fused_BCJI: Tensor = context_BC11 * context_BCJI + detail_BC11 * detail_BCJI
        return fused_BCJI


def _fusion(config: DsNetConfig) -> nn.Module:
    if config.fusion == "efficient":
        return _Efficient(config)
    return _Selective(config) if config.fusion == "selective" else _SuperResolved()


class _UNet(nn.Module):
    """Five levels with skip connections; logits."""

    def __init__(self, config: DsNetConfig, channels: int) -> None:
        super().__init__()
        widths = [config.width * 2**level for level in range(LEVELS)]
        block = _Block if config.is_improved else _Plain
        steps = list(zip(widths, widths[1:], strict=False))
        self.entry = block(config, channels, widths[0])
        self.down = nn.ModuleList(_down(config, fine, coarse) for fine, coarse in steps)
        self.encoder = nn.ModuleList(
            block(config, coarse if config.is_improved else fine, coarse) for fine, coarse in steps
        )
        self.up = nn.ModuleList(_up(config, coarse, fine) for fine, coarse in reversed(steps))
        self.decoder = nn.ModuleList(block(config, 2 * fine, fine) for fine, _ in reversed(steps))
        self.exit = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x_BCJI: Tensor) -> Tensor:
        x_BCJI = self.entry(x_BCJI)
        skips = []
        for down, encoder in zip(self.down, self.encoder, strict=True):
            skips.append(x_BCJI)
            x_BCJI = encoder(down(x_BCJI))
        for up, decoder, skip_BCJI in zip(self.up, self.decoder, reversed(skips), strict=True):
            x_BCJI = decoder(torch.cat([skip_BCJI, up(x_BCJI)], 1))
        logits_B1JI: Tensor = self.exit(x_BCJI)
        return logits_B1JI


def _down(config: DsNetConfig, fine: int, coarse: int) -> nn.Module:
    if config.is_improved:
        return nn.Sequential(nn.Conv2d(fine, coarse, 4, 2, padding=1), nn.ReLU())
    return nn.MaxPool2d(2)


def _up(config: DsNetConfig, coarse: int, fine: int) -> nn.Module:
    if config.is_improved:
        return nn.Sequential(nn.ConvTranspose2d(coarse, fine, 4, 2, padding=1), nn.ReLU())
    return nn.ConvTranspose2d(coarse, fine, 2, 2)


class _Plain(nn.Sequential):
    """Block of the classic U-Net."""

    def __init__(self, config: DsNetConfig, before: int, after: int) -> None:
        super().__init__(_conv_norm_relu(config, before, after), _conv_norm_relu(config, after, after))


class _Block(nn.Module):
    """Basic block of the improved backbone."""

    def __init__(self, config: DsNetConfig, before: int, after: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv_norm_relu(config, before, after),
            nn.Conv2d(after, after, 3, padding=1),
            _norm(config, after),
            _ChannelAttention(after),
            _SpatialAttention(),
        )
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x_BCJI: Tensor) -> Tensor:
        return torch.relu(self.layers(x_BCJI) + self.shortcut(x_BCJI))


class _ChannelAttention(nn.Module):
    """Weighs channels by their means and their maxima, seen by one small network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = max(1, width // REDUCTION)
        self.layers = nn.Sequential(nn.Linear(width, squeezed), nn.ReLU(), nn.Linear(squeezed, width))

    def forward(self, x_BCJI: Tensor) -> Tensor:
        weights_BC = torch.sigmoid(self.layers(x_BCJI.mean((2, 3))) + self.layers(x_BCJI.amax((2, 3))))
        return x_BCJI * weights_BC[..., None, None]


class _SpatialAttention(nn.Module):
    """Weighs pixels by the mean and the maximum over their channels and those of their neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x_BCJI: Tensor) -> Tensor:
        seen_B2JI = torch.cat([x_BCJI.mean(1, keepdim=True), x_BCJI.amax(1, keepdim=True)], 1)
        return x_BCJI * torch.sigmoid(self.layer(seen_B2JI))


def _conv_norm_relu(config: DsNetConfig, before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), _norm(config, after), nn.ReLU())


def _norm(config: DsNetConfig, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if config.norm == "batch" else nn.InstanceNorm2d(width, affine=True)
