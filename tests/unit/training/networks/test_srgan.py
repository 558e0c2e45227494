"""SRGAN: the published counts, sizes, and a degradation that loses fine detail only."""

from __future__ import annotations

import math

import pytest
import torch

from tests.support.torch_networks import multiply_accumulates, parameters
from training.networks.srgan import BLUR_PX, Critic, Generator, degraded, srgan_paper, srgan_reduced


def test_the_paper_s_generator_has_1_53_million_parameters_and_takes_8_4_gmac() -> None:
    with torch.device("meta"):
        generator = Generator(srgan_paper()).eval()
    assert round(parameters(generator) / 1e6, 2) == 1.53
    assert round(multiply_accumulates(generator, (1, 64, 64)) / 1e9, 1) == 8.4


def test_the_reduced_generator_is_a_tenth_of_it() -> None:
    """Quadrupling, it would have the 0.16 M and 1.3 GMAC of NETWORKS 10; it only doubles, with one step less."""
    with torch.device("meta"):
        generator = Generator(srgan_reduced()).eval()
    step = 32 * 128 * 9 + 128 + 1
    assert round((parameters(generator) + step) / 1e6, 2) == 0.16
    assert round(multiply_accumulates(generator, (1, 64, 64)) / 1e9, 2) == 0.54


def test_an_image_grows_by_the_factor_and_so_do_the_features() -> None:
    torch.manual_seed(0)
    image, detail = Generator(srgan_reduced())(torch.rand(2, 1, 8, 12))
    assert image.shape == (2, 1, 16, 24)
    assert detail.shape == (2, 32, 16, 24)


def test_the_critic_says_one_thing_of_an_image() -> None:
    config = srgan_reduced()
    assert Critic(config)(torch.rand(3, 1, config.edge, config.edge)).shape == (3, 1)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_degraded_flat_image_is_flat_and_smaller(factor: int) -> None:
    small = degraded(torch.full((1, 1, 16, 16), 0.25), factor)
    assert small.shape == (1, 1, 16 // factor, 16 // factor)
    assert torch.allclose(small, torch.full_like(small, 0.25), atol=1e-6)


def test_a_degraded_wave_of_the_finest_pitch_is_all_but_gone() -> None:
    """A Gaussian passes exp(-2 (pi sigma f)^2) of a wave, 4.25 % at 0.5 / px; thinning out cannot add to it."""
    wave = 0.5 + 0.5 * torch.cos(math.pi * torch.arange(32.0)).expand(1, 1, 32, 32)
    passed = math.exp(-2 * (math.pi * BLUR_PX * 0.5) ** 2)
    assert float((degraded(wave, 2) - 0.5).abs()[..., 2:-2, 2:-2].max()) <= 0.5 * passed + 1e-3
