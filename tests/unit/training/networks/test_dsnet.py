"""DSNet: the counts of the literal reading, its parts one by one, and an export that answers the same."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from tests.support.torch_networks import multiply_accumulates, parameters
from training.networks.dsnet import (
    DsNet,
    DsNetConfig,
    Fusion,
    PixelDiscriminator,
    ServedDsNet,
    _ChannelAttention,
    _SpatialAttention,
    dsnet_32,
    dsnet_paper,
    dsnet_reduced,
)
from training.networks.srgan import Generator, SrganConfig, srgan_paper, srgan_reduced

TINY = dataclasses.replace(dsnet_reduced(), width=4, detail=8)
TINY_TEACHER = dataclasses.replace(srgan_reduced(), blocks=1, width=8)
EIGHTH = dataclasses.replace(dsnet_reduced(), factor=4)
EIGHTH_TEACHER = dataclasses.replace(srgan_reduced(), factor=4)


@pytest.mark.parametrize(
    ("network", "teacher", "million", "gmac"),
    [
        (dsnet_paper(), srgan_paper(), 59.3, 83.4),  # NETWORKS: 59.3 and 83
        (dsnet_32(), srgan_paper(), 16.0, 27.7),
        (EIGHTH, EIGHTH_TEACHER, 1.1, 2.6),  # NETWORKS: 1.07 and 2.6
        (dsnet_reduced(), srgan_reduced(), 1.0, 0.9),
    ],
)
def test_with_its_teacher_it_has_the_counted_size(
    network: DsNetConfig, teacher: SrganConfig, million: float, gmac: float
) -> None:
    with torch.device("meta"):
        whole = ServedDsNet(DsNet(network), Generator(teacher)).eval()
    assert round(parameters(whole) / 1e6, 1) == million
    assert round(multiply_accumulates(whole, (1, 64, 64)) / 1e9, 1) == gmac


def test_the_pixel_discriminator_has_about_9_thousand_parameters_and_takes_half_a_gmac() -> None:
    """2 * 64 + 64, 64 * 128 + 128, 2 * 128 of the norm, 128 + 1."""
    with torch.device("meta"):
        discriminator = PixelDiscriminator(dsnet_paper())
    assert parameters(discriminator) == 192 + 8320 + 256 + 129 == 8897
    assert round(multiply_accumulates(discriminator, (1, 256, 256), (1, 256, 256)) / 1e9, 2) == 0.55


@pytest.mark.parametrize("fusion", ["image", "interpolated", "super-resolved", "efficient", "selective"])
def test_every_fusion_answers_a_probability_per_pixel_of_its_grid(fusion: Fusion) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(TINY, fusion=fusion, factor=1 if fusion == "image" else 2)
    teacher = Generator(TINY_TEACHER).eval() if config.has_teacher else None
    image = torch.rand(2, 1, 32, 32)
    found = DsNet(config)(image, teacher).detach()
    assert found.shape == (2, 1, 32 * config.factor, 32 * config.factor)
    assert 0 < float(found.min()) < float(found.max()) < 1


def test_the_teacher_lends_its_detail_and_learns_nothing() -> None:
    torch.manual_seed(0)
    teacher, network = Generator(TINY_TEACHER).eval(), DsNet(TINY)
    network(torch.rand(2, 1, 32, 32), teacher).sum().backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_selective_fusion_lies_between_its_two_branches() -> None:
    """Its weights are a softmax over the branches, channel by channel."""
    torch.manual_seed(0)
    fusion = DsNet(TINY).eval().fusion
    plain, sharp, detail = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 8, 8), torch.rand(2, 8, 8, 8)
    context, shown = fusion.context(torch.cat([plain, sharp], 1)), fusion.detail(detail)  # type: ignore[operator]
    fused = fusion(plain, sharp, detail)
    low, high = torch.minimum(context, shown), torch.maximum(context, shown)
    assert bool(((low - 1e-6 <= fused) & (fused <= high + 1e-6)).all())
    share = ((fused - context) / (shown - context)).nan_to_num(0.5)
    assert float(share.detach().std()) > 0, "not all channels are weighed alike"


def test_channels_are_weighed_by_their_mean_and_their_maximum_through_one_network() -> None:
    """CBAM with a network that passes on: weights 2 channel 0, 0 channel 1, so sigmoid(2 (mean + max)) and 1/2."""
    attention = _ChannelAttention(2)
    first, _, last = attention.layers
    with torch.no_grad():
        for layer, weight in ((first, [[1.0, 0.0]]), (last, [[2.0], [0.0]])):
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.zero_()
        x = torch.tensor([[[[0.0, 1.0]], [[4.0, 8.0]]]])
        weighed = attention(x)
    assert weighed[0, 0, 0].tolist() == pytest.approx([0.0, 1 / (1 + math.exp(-2 * (0.5 + 1.0)))])
    assert weighed[0, 1, 0].tolist() == pytest.approx([2.0, 4.0])


def test_pixels_are_weighed_by_mean_and_maximum_over_their_channels_within_three_pixels() -> None:
    attention = _SpatialAttention()
    with torch.no_grad():
        attention.layer.weight.zero_()
        attention.layer.weight[0, 0, 3, 0], attention.layer.weight[0, 1, 3, 6] = 1.0, 2.0
        x = torch.zeros(1, 2, 1, 7)
        x[0, :, 0, 0], x[0, :, 0, 6], x[0, :, 0, 3] = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.5]), 1.0
        weighed = attention(x)
    # three to the left of the middle the mean is 2, three to the right the maximum is 0.5
    assert weighed[0, :, 0, 3].tolist() == pytest.approx([1 / (1 + math.exp(-(2.0 + 2 * 0.5)))] * 2)


def test_the_served_answer_is_the_mean_over_the_pixels_of_the_enlarged_grid() -> None:
    torch.manual_seed(0)
    network, teacher = DsNet(TINY).eval(), Generator(TINY_TEACHER).eval()
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        fine, coarse = network(image, teacher), ServedDsNet(network, teacher)(image)
    assert coarse[0, 0, 5, 7] == pytest.approx(float(fine[0, 0, 10:12, 14:16].mean()), abs=1e-6)


def test_each_pixel_is_judged_by_itself() -> None:
    torch.manual_seed(0)
    discriminator = PixelDiscriminator(TINY).eval()
    image, soft = torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4)
    other = soft.clone()
    other[0, 0, 1, 2] = 1 - other[0, 0, 1, 2]
    changed = discriminator(image, soft) != discriminator(image, other)
    assert changed.nonzero().tolist() == [[0, 0, 1, 2]]
