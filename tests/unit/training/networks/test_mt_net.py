"""The classifier of MT-Net: the counts of the design, and its fourth channel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.support.torch_networks import multiply_accumulates, parameters
from training.networks.mt_net import ClassNet, ClassNetConfig, mt_net_reduced, mt_net_tiny


@pytest.mark.parametrize(
    ("config", "millions", "giga"),
    [(ClassNetConfig(), 20.81, 5.36), (ClassNetConfig(width=0.25, middle=2, edge=128), 0.72, 0.07)],
)
def test_parameters_and_operations_are_those_of_the_design(
    config: ClassNetConfig, millions: float, giga: float
) -> None:
    with torch.device("meta"):
        network = ClassNet(config).eval()
    assert parameters(network) / 1e6 == pytest.approx(millions, abs=0.005)
    assert multiply_accumulates(network, (1, 64, 64), (1, 64, 64)) / 1e9 == pytest.approx(giga, abs=0.005)


def test_the_reduced_networks_are_as_large_as_the_design_says() -> None:
    with torch.device("meta"):
        assert parameters(ClassNet(mt_net_reduced().classifier)) == 718_031


def test_the_last_maps_keep_their_size() -> None:
    # 224: 111, 109 after the two first convolutions; 55, 28, 14 after the blocks with a stride, and no pool after that
    with torch.device("meta"):
        network = ClassNet(ClassNetConfig()).eval()
        sizes: list[tuple[int, ...]] = []
        network.last.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape)))
        network(torch.zeros(1, 1, 224, 224), torch.zeros(1, 1, 224, 224))
    assert sizes == [(1, 2048, 14, 14)]


def test_the_last_convolutions_look_two_cells_away() -> None:
    """Neither sizes nor counts tell dilations apart."""
    last = ClassNet(mt_net_tiny().classifier).eval().last
    for weight in last.parameters():
        nn.init.ones_(weight)
    maps = torch.ones(1, last[0].depthwise.in_channels, 15, 15, requires_grad=True)  # type: ignore[union-attr]
    last(maps)[0, 0, 7, 7].backward()
    assert maps.grad is not None
    assert (maps.grad[0, 0].nonzero().unique() - 7).tolist() == [-4, -2, 0, 2, 4]


def test_the_mask_s_channel_starts_as_the_mean_of_the_colours() -> None:
    first = ClassNet(mt_net_tiny().classifier).first[0]
    assert isinstance(first, nn.Conv2d)
    assert first.weight.shape[1] == 4
    assert torch.allclose(first.weight[:, 3], first.weight[:, :3].sum(1) / 3)


def test_without_the_mask_the_answer_does_not_depend_on_it() -> None:
    torch.manual_seed(0)
    tiny = mt_net_tiny().classifier
    with_mask = ClassNet(tiny).eval()
    without = ClassNet(ClassNetConfig(width=tiny.width, middle=1, edge=tiny.edge, has_mask=False)).eval()
    image, empty, full = torch.rand(1, 1, 64, 64), torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 64, 64)
    assert torch.equal(without(image, empty), without(image, full))
    assert not torch.equal(with_mask(image, empty), with_mask(image, full))
