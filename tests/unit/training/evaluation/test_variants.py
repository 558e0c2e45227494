"""Variants whose answers are known get the figures and differences that are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference.contract import Contract, Intensity, RoiSlices, TensorSpec
from tests.support.torch_slices import a_slice
from training.evaluation.variants import compared
from training.labels.malignancy import LabelRule
from training.served import Served

CONTRACT = Contract(
    model="toy",
    version=1,
    kind="slice-model",
    file="",
    sha256="",
    inputs=(TensorSpec(name="image", shape=(1, 64, 64)),),
    outputs=(TensorSpec(name="probability", shape=(1, 64, 64)),),
    system="toy",
    roles=("segmentation",),
    intensity=Intensity(window_hu=(-1000.0, 400.0), mean_hu=-1000.0, sd_hu=1400.0),
    roi=RoiSlices(size_ji=(64, 64), pixel_spacing_mm=None, margin_mm=2.0, threshold=0.5),
)


class _Nothing(nn.Module):
    def forward(self, image_B1JI: Tensor) -> Tensor:
        return torch.zeros_like(image_B1JI)


class _Everything(nn.Module):
    def forward(self, image_B1JI: Tensor) -> Tensor:
        return torch.ones_like(image_B1JI)


class _Bright(nn.Module):
    """Half way from lung to soft tissue: the disc."""

    def forward(self, image_B1JI: Tensor) -> Tensor:
        return (image_B1JI > (-405 + 1000) / 1400).float()


def test_slices_with_and_without_a_nodule_are_counted_apart() -> None:
    """One slice shows a disc, three none. Who finds nothing is right on the three only, who finds all on none."""
    shown = a_slice(0)
    shown = dataclasses.replace(shown, readers_RJI=(shown.image_hu > -405)[None])
    lung_hu = np.full_like(shown.image_hu, -850)
    empty = [
        dataclasses.replace(shown, image_hu=lung_hu, readers_RJI=np.zeros_like(shown.readers_RJI)) for _ in range(3)
    ]
    variants = {"nothing": _Nothing(), "everything": _Everything(), "bright": _Bright()}
    served = {name: Served(contract=CONTRACT, module=one, maximum_batch=16) for name, one in variants.items()}
    found = compared([shown, *empty], served, "nothing", share=0.5, rule=LabelRule.MEAN_ROUNDED)
    assert found["against"] == "nothing"
    nothing, everything, bright = (found["variants"][name] for name in variants)
    assert nothing["without_nodule"] == {"slices": 3, "nothing_found": 1.0, "pixels_found": 0.0}
    assert everything["without_nodule"] == {"slices": 3, "nothing_found": 0.0, "pixels_found": 64.0 * 64}
    assert nothing["with_nodule"]["dice"]["value"] == 0.0
    assert bright["with_nodule"]["dice"]["value"] == 1.0
    assert bright["dice_gain_with_nodule"]["value"] == 1.0
    assert bright["cases"]["dice"] == [1.0], "of the slice that shows a nodule"
    assert bright["dice_gain_of_all"]["value"] == 0.25, "the others gain nothing"
    disc = int(shown.mask().sum())
    expected = 2 * disc / (disc + 64 * 64)
    assert everything["dice_gain_of_all"]["value"] == pytest.approx((expected - 3) / 4, abs=1e-4)
