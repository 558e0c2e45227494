"""The network has the sizes that its specification counts, and its features are exact crops."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from tests.support.torch_networks import multiply_accumulates, parameters
from training.networks.blocks import Norm, settled
from training.networks.jnsc import Jnsc, JnscHead, features_from_maps, jnsc_paper, jnsc_reduced, jnsc_tiny


@pytest.fixture(scope="module")
def paper() -> Jnsc:
    return Jnsc(jnsc_paper())


def test_the_paper_preset_has_10_08_million_parameters_besides_the_taps(paper: Jnsc) -> None:
    assert round((parameters(paper) - parameters(paper.taps)) / 1e6, 2) == 10.08


def test_the_paper_preset_takes_14_1_gmac_per_window_besides_the_taps(paper: Jnsc) -> None:
    taps = sum(width * width * (64 // 2**level) ** 3 for level, width in enumerate((16, 32, 64, 128, 256)))
    macs = multiply_accumulates(paper, (1, 32, 32, 32)) * 8  # every layer grows with the volume of the window
    assert round((macs - taps) / 1e9, 1) == 14.1


def test_the_head_of_the_paper_sees_832_features_and_the_size() -> None:
    head = JnscHead(jnsc_paper())
    assert head.linear.in_features == 833  # 16*8 + 32*8 + 64 + 128 + 256, and one
    assert head.linear.out_features == 3


def test_the_reduced_preset_stays_below_two_million_parameters() -> None:
    assert parameters(Jnsc(jnsc_reduced())) < 2_000_000


def test_the_dense_outputs_halve_their_resolution_level_by_level() -> None:
    network = Jnsc(jnsc_tiny()).eval()
    with torch.no_grad():
        probability, *maps = network(torch.randn(1, 1, 32, 32, 32))
    assert probability.shape == (1, 1, 32, 32, 32)
    assert probability.min() >= 0 and probability.max() <= 1
    assert [tuple(v.shape[1:3]) for v in maps] == [(2, 32), (4, 16), (8, 8), (16, 4), (32, 2)]


def test_features_are_the_maxima_of_integer_crops_and_the_size() -> None:
    maps = [torch.zeros(1, 64 // q, 64 // q, 64 // q) for q in (1, 2, 4, 8, 16)]
    maps[0][0, 10, 20, 30] = 5.0  # first voxel of the box: first cell of the finest map
    maps[0][0, 14, 20, 30] = 99.0  # just behind the box along k
    maps[2][0, 3, 5, 7] = 7.0  # voxels 12..15, 20..23, 28..31: touched by the box
    maps[4][0, 0, 1, 1] = 9.0
    box = ((10, 14), (20, 24), (30, 34))
    features = features_from_maps(maps, box, 27, (2, 2, 1, 1, 1))
    assert len(features) == 8 + 8 + 1 + 1 + 1 + 1
    assert features[0] == 5.0
    assert features[1:16].abs().max() == 0
    assert features[16:].tolist() == pytest.approx([7.0, 0.0, 9.0, 0.3])


def test_a_box_of_one_voxel_still_has_features() -> None:
    maps = [torch.full((1, 64 // q, 64 // q, 64 // q), float(q)) for q in (1, 2, 4, 8, 16)]
    features = features_from_maps(maps, ((63, 64),) * 3, 1, (2, 2, 1, 1, 1))
    assert features.tolist() == pytest.approx([1.0] * 8 + [2.0] * 8 + [4.0, 8.0, 16.0, 0.1])


def a_trained(norm: Norm) -> Jnsc:
    """A network that has seen something, in evaluation mode."""
    torch.manual_seed(0)
    network = Jnsc(dataclasses.replace(jnsc_tiny(), norm=norm))
    with torch.no_grad():
        network(torch.randn(2, 1, 32, 32, 32))
    return network.eval()


@pytest.mark.parametrize(("norm", "alike"), [("batch", True), ("instance", False)])
def test_with_batch_norm_a_voxel_is_judged_alike_whatever_else_the_window_holds(norm: Norm, alike: bool) -> None:
    """Two windows that differ in their last layers of voxels only: what is far from them is the same to the first."""
    first = torch.randn(1, 1, 224, 16, 16)
    second = first.clone()
    second[:, :, 208:] += 5.0
    network = a_trained(norm)
    with torch.no_grad():
        one, other = (network(window)[0][:, :, :64] for window in (first, second))
    assert torch.allclose(one, other, atol=1e-6) is alike


def test_a_settled_network_keeps_its_statistics_and_still_learns() -> None:
    network = a_trained("batch").train()
    settled(network)
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    network(torch.randn(1, 1, 32, 32, 32))[0].sum().backward()
    assert before and all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    assert all(norm.weight.grad is not None for norm in norms)
