"""DeepLabv3+: the counts of the design, and what the Fine-layer takes."""

from __future__ import annotations

import pytest
import torch

from tests.support.torch_networks import multiply_accumulates, parameters
from training.networks.deeplab import DeepLab, DeepLabConfig, Pyramid
from training.networks.mt_net import mt_net_tiny

PAPER = DeepLabConfig()
ON_PAPER = (1, 224, 224)


@pytest.mark.parametrize(
    ("config", "millions", "shapes", "giga"),
    [
        (PAPER, 54.71, (ON_PAPER,), 15.84),
        (DeepLabConfig(has_prior=True), 54.775, (ON_PAPER, ON_PAPER), 15.85),
        (DeepLabConfig(width=0.25, middle=4, edge=128), 2.25, ((1, 64, 64),), 0.25),
        (DeepLabConfig(width=0.25, middle=4, edge=64), 2.25, ((1, 64, 64),), 0.063),
    ],
)
def test_parameters_and_operations_are_those_of_the_design(
    config: DeepLabConfig, millions: float, shapes: tuple[tuple[int, ...], ...], giga: float
) -> None:
    with torch.device("meta"):
        network = DeepLab(config).eval()
    assert parameters(network) / 1e6 == pytest.approx(millions, abs=0.005)
    assert multiply_accumulates(network, *shapes) / 1e9 == pytest.approx(giga, rel=0.005)


def test_the_fine_layer_adds_one_convolution_of_257_channels() -> None:
    with torch.device("meta"):
        added = parameters(DeepLab(DeepLabConfig(has_prior=True))) - parameters(DeepLab(PAPER))
    assert added == 257 * 256 + 256 + 2 * 256  # weights, biases, batch norm


def test_the_paper_s_pyramid_looks_6_12_and_18_cells_away() -> None:
    """Neither parameters nor operations tell dilations apart."""
    pyramid = Pyramid(1, 1, PAPER.rates).eval()
    for weight in pyramid.parameters():
        torch.nn.init.ones_(weight)
    torch.nn.init.zeros_(pyramid.mean[0].weight)  # it sees all cells
    image = torch.ones(1, 1, 41, 41, requires_grad=True)
    pyramid(image)[0, 0, 20, 20].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].nonzero().unique() - 20
    assert seen.tolist() == [-18, -12, -6, 0, 6, 12, 18]


def test_the_decoder_is_given_what_the_second_convolution_of_the_second_block_left() -> None:
    encoder = DeepLab(DeepLabConfig(width=0.0625, middle=0, edge=64)).eval().encoder
    left: list[torch.Tensor] = []
    encoder.entry[1].second.register_forward_hook(lambda module, inputs, output: left.append(output))  # type: ignore[union-attr]
    with torch.no_grad():
        fine, _ = encoder(torch.rand(1, 3, 64, 64))
    assert torch.equal(fine, left[0]) and fine.shape[2:] == (16, 16), "before the stride"


def test_the_answer_has_the_size_of_the_image_whatever_it_is_enlarged_to() -> None:
    with torch.device("meta"):
        assert DeepLab(PAPER).eval()(torch.zeros(2, 1, 64, 64)).shape == (2, 1, 64, 64)


def test_strides_of_8_and_16_have_the_same_weights_and_features_of_that_size() -> None:
    for stride, cells in ((16, 6), (8, 12)):
        with torch.device("meta"):
            network = DeepLab(DeepLabConfig(edge=96, stride=stride)).eval()
            fine, deep = network.encoder(torch.zeros(1, 3, 96, 96))
        assert parameters(network) == 54_708_417
        assert fine.shape == (1, 256, 24, 24)
        assert deep.shape == (1, 2048, cells, cells)


def test_the_fine_layer_sees_the_mean_of_the_coarse_mask_in_each_cell() -> None:
    network = DeepLab(DeepLabConfig(width=0.0625, middle=0, edge=64, has_prior=True))
    coarse = torch.zeros(1, 1, 64, 64)
    coarse[..., :16, 8:16] = 1  # half of the first cell of 16 x 16
    cells = network._cells(coarse)
    assert cells.shape == (1, 1, 4, 4)
    assert cells[0, 0, 0, 0].item() == 0.5
    assert cells.sum().item() == 0.5


def test_the_coarse_mask_changes_the_answer() -> None:
    torch.manual_seed(0)
    fine = DeepLab(DeepLabConfig(width=0.0625, middle=0, edge=64, has_prior=True)).eval()
    image = torch.rand(1, 1, 64, 64)
    assert not torch.equal(fine(image, torch.zeros_like(image)), fine(image, torch.ones_like(image)))


def test_a_coarse_network_has_no_fine_layer() -> None:
    assert DeepLab(mt_net_tiny().segmenter).fine_layer is None
