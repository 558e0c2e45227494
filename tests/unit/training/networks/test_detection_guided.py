"""The counts of NETWORKS.md section 3.1 and the measured facts of section 3.2."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.support.torch_networks import multiply_accumulates, parameters
from training.networks.detection_guided import (
    STEPS,
    Aspp,
    Combination,
    DetectionGuided,
    DetectionGuidedConfig,
    Evidence,
    Output,
    Std,
    detection_guided_paper,
    detection_guided_reduced,
    detection_guided_tiny,
)

WEAK, STRONG = 1.0, 6.0


@pytest.mark.parametrize(
    ("config", "edge", "millions", "billions"),
    [
        (detection_guided_paper(), 128, "90.45", "15.06"),
        (detection_guided_reduced(), 128, "5.1", "0.92"),
        (detection_guided_reduced(), 64, "5.1", "0.23"),
    ],
)
def test_the_presets_are_as_large_as_the_specification_says(
    config: DetectionGuidedConfig, edge: int, millions: str, billions: str
) -> None:
    with torch.device("meta"):
        network = DetectionGuided(config).eval()
    digits = len(millions.partition(".")[2])
    assert f"{parameters(network) / 1e6:.{digits}f}" == millions
    assert f"{multiply_accumulates(network, (1, edge, edge)) / 1e9:.2f}" == billions


def test_combination_blocks_join_maps_of_equal_size_only() -> None:
    with torch.device("meta"):
        network = DetectionGuided(detection_guided_reduced()).eval()
        maps, answers_B2 = network.classifier(torch.zeros(1, 1, 64, 64))
    sizes = [tuple(one.shape[1:]) for one in maps]
    assert sizes == [(16, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4)]
    assert answers_B2.shape == (1, 2)
    blocks = [block for block in network.segmenter.combinations if isinstance(block, Combination)]
    assert [block.adapt.in_channels for block in blocks] == [16, 64, 128, 256]
    assert [block.reduce.out_channels for block in blocks] == [32, 64, 128, 256]


def test_without_combination_blocks_the_classifier_does_not_reach_the_mask() -> None:
    torch.manual_seed(0)
    joined, alone = (
        DetectionGuided(DetectionGuidedConfig(width=4, depths=(1, 1, 1, 1), combine=combine))
        for combine in (True, False)
    )
    for network in (joined, alone):
        network(torch.rand(2, 1, 32, 32)).mask_B1JI.sum().backward()
    assert joined.classifier.c1[0].weight.grad is not None
    assert alone.classifier.c1[0].weight.grad is None


def test_the_pyramid_looks_1_5_10_and_15_pixels_away() -> None:
    """Neither parameters nor operations tell dilations apart."""
    pyramid = Aspp(1).eval()
    for weight in pyramid.parameters():
        torch.nn.init.ones_(weight)
    image = torch.ones(1, 1, 41, 41, requires_grad=True)
    pyramid(image)[0, 0, 20, 20].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].nonzero().unique() - 20
    assert seen.tolist() == [-15, -10, -5, -1, 0, 1, 5, 10, 15]


def a_disc(noise: float) -> tuple[Tensor, Tensor]:
    """A disc of 10 pixels' radius in 64 x 64, and logits of +-1 for it under noise."""
    j_JI, i_JI = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc_JI = torch.hypot(j_JI - 31.5, i_JI - 31.5) <= 10
    noise_JI = noise * torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    return disc_JI, (torch.where(disc_JI, 1.0, -1.0) + noise_JI)[None, None]


def dice(probability_B1JI: Tensor, disc_JI: Tensor) -> float:
    found_JI = probability_B1JI[0, 0] >= 0.5
    return float(2 * (found_JI & disc_JI).sum() / (found_JI.sum() + disc_JI.sum()))


@torch.no_grad()
def test_the_derived_iteration_finds_a_noisy_disc_better_than_a_plain_sigmoid() -> None:
    disc_JI, u_B1JI = a_disc(noise=1.0)
    plain = dice(torch.sigmoid(u_B1JI), disc_JI)
    smooth = dice(Std()(u_B1JI, None), disc_JI)
    smoother = dice(Std(smoothness=2.0)(u_B1JI, None), disc_JI)
    assert plain + 0.1 < smooth
    assert smooth + 0.1 < smoother


@torch.no_grad()
def test_the_printed_iteration_forgets_the_evidence() -> None:
    disc_JI, u_B1JI = a_disc(noise=1.0)
    printed = Std("as_printed")
    for evidence_B1JI in (u_B1JI, -u_B1JI):
        x_B1JI = printed(evidence_B1JI, None)
        assert float(x_B1JI.mean()) == pytest.approx(0.80, abs=0.01)
        assert dice(x_B1JI, disc_JI) == pytest.approx(0.14, abs=0.01)
    assert dice(Std()(u_B1JI, None), disc_JI) > 0.6


@pytest.mark.parametrize(("logits", "change"), [(STRONG, 1e-6), (WEAK, 1e-5)])
@torch.no_grad()
def test_the_derived_iteration_rests_within_ten_steps(logits: float, change: float) -> None:
    _, u_B1JI = a_disc(noise=0.5)
    std = Std()
    before, after = (std(logits * u_B1JI, None, steps=steps) for steps in (STEPS - 1, STEPS))
    assert float((after - before).abs().max()) < change


@torch.no_grad()
def test_the_prior_shrinks_the_area_as_presence_falls() -> None:
    _, u_B1JI = a_disc(noise=1.0)
    std = Std()
    areas = [int((std(4 * u_B1JI, torch.tensor([c])) >= 0.5).sum()) for c in (1.0, 0.5, 0.0)]
    assert areas[0] > areas[1] > areas[2] > 0
    without = std(4 * u_B1JI, None)
    assert torch.equal(std(4 * u_B1JI, torch.tensor([1.0])), without), "a nodule that is surely there changes nothing"


def test_one_step_is_the_formula() -> None:
    """A map of one value is its own smoothing: x1 = sigmoid(u - (1 - 2 x0) - lambda2 (1 - c))."""
    u_B1JI = torch.full((1, 1, 5, 5), 0.3)
    x0 = 1 / (1 + math.exp(-0.3))
    expected = 1 / (1 + math.exp(-(0.3 - (1 - 2 * x0) - 1.0 * (1 - 0.25))))
    x1_B1JI = Std()(u_B1JI, torch.tensor([0.25]), steps=1)
    assert torch.allclose(x1_B1JI, torch.full_like(u_B1JI, expected), atol=1e-6)


def test_width_and_prior_begin_at_one_and_are_learnt_but_presence_is_not() -> None:
    std = Std()
    assert float(std.sigma.detach()) == pytest.approx(1.0)
    assert float(std.prior.detach()) == pytest.approx(1.0)
    presence_B = torch.tensor([0.5], requires_grad=True)
    _, u_B1JI = a_disc(noise=1.0)
    std(u_B1JI, presence_B).square().mean().backward()
    assert std.raw_sigma.grad is not None and float(std.raw_sigma.grad) != 0
    assert std.raw_prior.grad is not None and float(std.raw_prior.grad) != 0
    assert presence_B.grad is None


@torch.no_grad()
def test_the_smoothing_is_computed_in_float32_under_autocast() -> None:
    _, u_B1JI = a_disc(noise=1.0)
    std = Std()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed_B1JI = std(u_B1JI, None)
    assert mixed_B1JI.dtype == torch.float32
    assert torch.equal(mixed_B1JI, std(u_B1JI, None))


@torch.no_grad()
def test_each_output_uses_what_it_is_named_for() -> None:
    network = DetectionGuided(detection_guided_tiny()).eval()
    _, u_B1JI = a_disc(noise=1.0)
    evidence = Evidence(mask_B1JI=u_B1JI, presence_B=torch.tensor([-1.0]), malignancy_B=torch.tensor([0.0]))
    assert torch.equal(network.probability(evidence, Output.PLAIN), torch.sigmoid(u_B1JI))
    assert torch.equal(network.probability(evidence, Output.STD), network.std(u_B1JI, None))
    with_prior_B1JI = network.std(u_B1JI, torch.sigmoid(torch.tensor([-1.0])))
    assert torch.equal(network.probability(evidence, Output.STD_PRIOR), with_prior_B1JI)
