"""HR-MPF has the paper's size, its parts do what they are drawn to do, and the comparison networks fit in its place."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.support.torch_networks import multiply_accumulates, parameters
from training.networks.hr_mpf import (
    Critic,
    HrMpf,
    HrMpfConfig,
    hr_mpf_hrnet,
    hr_mpf_paper,
    hr_mpf_reduced,
    hr_mpf_tiny,
    hrnet,
)

IMAGE = (1, 64, 64)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _size(config: HrMpfConfig) -> tuple[float, float]:
    """Millions of parameters, billions of multiplications. Small enough to run; the "meta" device takes longer."""
    network = HrMpf(config).eval()
    return parameters(network) / 1e6, multiply_accumulates(network, (config.in_channels, 64, 64)) / 1e9


def test_the_paper_s_preset_has_the_published_size() -> None:
    millions, billions = _size(hr_mpf_paper())
    assert millions == pytest.approx(3.463, abs=5e-4), "table 2 prints 3.46"
    assert billions == pytest.approx(0.156, abs=5e-4), "table 2 prints 0.16"


def test_three_input_channels_do_not_change_the_printed_size() -> None:
    millions, billions = _size(dataclasses.replace(hr_mpf_paper(), in_channels=3))
    assert (round(millions, 2), round(billions, 2)) == (3.46, 0.16)


@pytest.mark.parametrize(
    ("config", "millions", "billions"), [(hr_mpf_hrnet(), 3.41, 0.171), (hr_mpf_reduced(), 0.86, 0.043)]
)
def test_the_other_presets_have_the_specified_sizes(config: HrMpfConfig, millions: float, billions: float) -> None:
    assert _size(config) == (pytest.approx(millions, abs=5e-3), pytest.approx(billions, abs=5e-4))


def test_the_critic_has_the_specified_size() -> None:
    critic = Critic().eval()
    assert parameters(critic) == 134_721  # 1088 + 128 + 131,200 + 256 + 2,049
    assert multiply_accumulates(critic, IMAGE) / 1e9 == pytest.approx(0.035, abs=5e-4)


def test_arrangement_a_costs_more_work_and_no_parameters_and_b_costs_parameters_too() -> None:
    sizes = {name: _size(dataclasses.replace(hr_mpf_paper(), fusion=name)) for name in ("a", "b", "c")}
    assert sizes["a"][0] == sizes["c"][0]
    assert sizes["a"][1] > sizes["c"][1], "its convolution sees four times as many pixels"
    # (b) less (c) of one way up to 32 channels: the convolution shrinks by 32 * 32 * 9, the first residual block grows
    # by 32 * 32 * (9 + 1) and 2 * 32; to 64 channels accordingly. Two modules have both ways, one the first only.
    to_32, to_64 = 32 * 32 + 64, 64 * 64 + 128
    assert sizes["b"][0] - sizes["c"][0] == pytest.approx((3 * to_32 + 2 * to_64) / 1e6)


@pytest.mark.parametrize("fusion", ["a", "b", "c"])
def test_every_arrangement_answers_with_probabilities_of_the_image_s_size(fusion: str) -> None:
    network = HrMpf(dataclasses.replace(hr_mpf_tiny(), fusion=fusion)).eval()
    probability, malignancy = network(torch.rand(2, *IMAGE))
    assert probability.shape == (2, 1, 64, 64) and malignancy.shape == (2, 1)
    assert probability.min() > 0 and probability.max() < 1
    assert malignancy.min() > 0 and malignancy.max() < 1


@pytest.mark.parametrize("version", ["hrnet_v1", "hrnet_v2"])
def test_the_comparison_backbones_fit_in_its_place_and_every_weight_of_theirs_is_used(version: str) -> None:
    network = HrMpf(hrnet(version, 4))  # type: ignore[arg-type]
    logits, classes = network.logits(torch.rand(2, *IMAGE))
    assert logits.shape == (2, 2, 64, 64) and classes is not None
    (logits.square().sum() + classes.square().sum()).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_every_weight_of_the_network_is_used() -> None:
    network = HrMpf(dataclasses.replace(hr_mpf_tiny(), m3=2, n1=1, nb=1, boost="projected", k_up=1, k_deconv=2))
    logits, classes = network.logits(torch.rand(2, *IMAGE))
    assert classes is not None
    (logits.square().sum() + classes.square().sum()).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_the_middle_branch_leaves_the_last_stage_with_both_directions_added() -> None:
    """The paper does not say which way counts, and wants "all scales"; no count tells the three readings apart."""
    torch.manual_seed(0)
    backbone = HrMpf(hr_mpf_tiny()).eval().backbone
    fusion = backbone.stage3[-1][-1]
    fine, middle, coarse = maps = [torch.rand(1, width, edge, edge) for width, edge in ((4, 16), (8, 8), (16, 4))]
    with torch.no_grad():
        up = fusion.rises[1](middle, coarse)
        down = fusion.falls[0](middle, fine)
        expected = [fusion.rises[0](fine, up), up + down, fusion.falls[1](coarse, down)]
        assert all(torch.equal(one, other) for one, other in zip(fusion(maps), expected, strict=True))


def test_without_classifier_there_is_one_answer() -> None:
    network = HrMpf(dataclasses.replace(hr_mpf_tiny(), is_classifying=False)).eval()
    assert network.logits(torch.rand(2, *IMAGE))[1] is None
    assert network(torch.rand(2, *IMAGE)).shape == (2, 1, 64, 64)


def test_the_decoder_s_map_has_the_paper_s_64_channels_of_16_by_16_pixels() -> None:
    network = HrMpf(hr_mpf_paper()).eval()
    with torch.no_grad():
        features = network.decoder(network.backbone(torch.zeros(1, *IMAGE)))
    assert features.shape == (1, 64, 16, 16)


def test_dupsampling_puts_the_numbers_of_a_block_row_by_row_and_divides_by_the_temperature() -> None:
    enlarge = HrMpf(hr_mpf_tiny()).enlarge
    with torch.no_grad():
        enlarge.matrix.weight.zero_()
        enlarge.matrix.weight[:, 0, 0, 0] = torch.arange(32.0)  # of the map's first channel
        enlarge.temperature.fill_(2.0)
        features = torch.zeros(1, 8, 16, 16)
        features[0, 0, 3, 5] = 1.0
        logits = enlarge(features)[0]
    block = torch.arange(16.0).reshape(4, 4) / 2
    assert torch.equal(logits[0, 12:16, 20:24], block)
    assert torch.equal(logits[1, 12:16, 20:24], block + 8)
    assert float(logits.sum()) == float((block + block + 8).sum()), "nothing outside the block"


def test_what_a_network_answers_does_not_depend_on_the_others_of_its_batch() -> None:
    torch.manual_seed(0)
    network = HrMpf(hr_mpf_tiny()).eval()
    images = torch.rand(3, *IMAGE)
    together, alone = network(images)[0][1], network(images[1:2])[0][0]
    assert torch.allclose(together, alone, atol=1e-6)


def test_the_critic_judges_every_pixel_and_its_answer_is_not_bounded() -> None:
    torch.manual_seed(0)
    critic = Critic(width=4)
    with torch.no_grad():
        critic.layers[-1].bias.fill_(3.0)
        answer = critic(torch.rand(2, *IMAGE))
    assert answer.shape == (2, 1, 64, 64)
    assert float(answer.mean()) > 1
