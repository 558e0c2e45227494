"""Networks that others use, for the comparison tables: three of MONAI's, and DeepLabv3+.

Each gives one logit per pixel of a grey image. MONAI is imported when one of its networks is built. All are reduced to
a few CPU minutes of training. `unet_plus_plus((32, 64, 128, 256, 512, 32), 3)` has the widths of paper 1's comparison:
MONAI's form of it counts 9.12 M parameters and 2.05 GMAC at 3x64x64, where 9.16 M and 2.16 are printed. The printed
ones are those of the form that enlarges maps without weights and keeps all their channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn

from training.networks.deeplab import DeepLab
from training.networks.mt_net import mt_net_reduced

WIDTHS = (16, 32, 64, 128)


def unet() -> nn.Module:
    """Residual U-Net of four levels (MONAI): 0.40 M parameters, 0.038 GMAC at 64x64."""
    from monai.networks.nets import UNet

    network: nn.Module = UNet(2, 1, 1, WIDTHS, (2, 2, 2), num_res_units=2, norm="BATCH")
    return network


def attention_unet() -> nn.Module:
    """U-Net with attention gates, of four levels (MONAI): 0.49 M parameters, 0.127 GMAC."""
    from monai.networks.nets import AttentionUnet

    network: nn.Module = AttentionUnet(2, 1, 1, WIDTHS, (2, 2, 2))
    return network


def unet_plus_plus(widths: tuple[int, ...] = (16, 16, 32, 64, 128, 16), colours: int = 1) -> nn.Module:
    """Nested U-Net of five levels (MONAI): 0.60 M parameters, 0.255 GMAC.

    Parameters
    ----------
    widths : of the five levels and of the last map
    colours : channels of the image
    """
    from monai.networks.nets import BasicUNetPlusPlus

    return _Only(BasicUNetPlusPlus(2, colours, 1, widths))


def deeplab() -> nn.Module:
    """DeepLabv3+ as MT-Net's reduced coarse network is: 2.25 M parameters."""
    return DeepLab(mt_net_reduced().segmenter)


BASELINES: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {"unet": unet, "attention_unet": attention_unet, "unet_plus_plus": unet_plus_plus, "deeplab": deeplab}
)


class _Only(nn.Module):
    """The only answer of a network that gives a list."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_B1JI: Tensor) -> Tensor:
        (logits_B1JI,) = self.network(image_B1JI)
        result: Tensor = logits_B1JI
        return result
