"""The papers' systems beside networks that others use, by Dice on the same slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A system beside networks that others use, by Dice on the same slices.

    Parameters
    ----------
    place : where the paper has such a table
    printed : what it prints for its own system
    networks : for each network the recipe and what the paper prints, if it does
    """

    system: str
    place: str
    printed: float | None
    networks: Mapping[str, tuple[str, float | None]]
    remark: str


_NETWORKS = (
    ("U-Net", "unet"),
    ("Attention U-Net", "attention_unet"),
    ("UNet++", "unet_plus_plus"),
    ("DeepLabv3+", "deeplab"),
)
_OTHERWISE = "The other networks are reduced ones and share neither losses, nor rate, nor length of training with it."


def _networks(place: str, **printed: float) -> Mapping[str, tuple[str, float | None]]:
    return MappingProxyType({name: (f"baseline_{key}{place}", printed.get(key)) for name, key in _NETWORKS})


COMPARISONS = (
    Comparison(
        system="hr_mpf",
        place="table 1 of paper 1",
        printed=0.9373,
        networks=_networks("", deeplab=0.9204, unet_plus_plus=0.9227),
        remark=f"{_OTHERWISE} The paper's own rows share its leaky split.",
    ),
    Comparison(
        system="mt_net",
        place="paper 2 trained none of these; its table 2 cites methods of other papers, 0.780 to 0.830",
        printed=0.832,
        networks=_networks("_lidc"),
        remark=_OTHERWISE,
    ),
    Comparison(
        system="detection_guided",
        place="table 1 of paper 3, on its clinical set",
        printed=0.801,
        networks=_networks("", unet=0.753, deeplab=0.748),
        remark=f"{_OTHERWISE} They are trained on the largest slice of each nodule only. Ours are measured on LUNA16.",
    ),
)
