"""The scanner model against analytic answers: a line profile, a sine wave, water."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from training.data.phantom import SMALL, Protocol
from training.data.phantom.scanner import ATTENUATION_PER_MM, REFERENCE_PATH_MM, choose_protocol, scan, series_grid

QUIET = Protocol(kernel="SOFT", psf_mm=0.5, edge_gain=0.0, noise_hu=0.0, thickness_mm=2.0)
PROFILE = dataclasses.replace(SMALL, extent_mm=64, pixels=64, pixel_mm=1.0)
SIZE = (64, 64, 64)


def rng() -> np.random.Generator:
    return np.random.default_rng(2)


def test_the_grid_is_centred_and_its_slices_touch() -> None:
    grid = series_grid(PROFILE, 2.5)
    assert grid.shape_kji == (25, 64, 64)  # 25 slices of 2.5 mm in 64 mm
    assert grid.spacing_mm == (2.5, 1.0, 1.0)
    assert grid.lps_from_kji((12, 31.5, 31.5)).tolist() == pytest.approx([0, 0, 0])


@pytest.mark.parametrize("thickness_mm", [1.0, 1.25, 2.0, 2.5])
def test_a_layer_gives_each_slice_its_share(thickness_mm: float) -> None:
    hu = np.zeros(SIZE, np.float32)
    hu[30] = 1000
    volume, grid = scan(hu, PROFILE, dataclasses.replace(QUIET, thickness_mm=thickness_mm), rng())
    middle = volume[:, 32, 32]
    assert (middle * thickness_mm).sum() == pytest.approx(1000, abs=5)
    centre_mm = (middle * grid.lps_from_kji([(k, 0, 0) for k in range(len(volume))])[:, 2]).sum() / middle.sum()
    assert centre_mm == pytest.approx(30 - 31.5, abs=thickness_mm / 2)


@pytest.mark.parametrize(("period_mm", "psf_mm"), [(16.0, 0.5), (8.0, 0.5), (8.0, 0.8)])
def test_a_sine_wave_is_damped_by_the_transfer_function_of_the_point_spread(period_mm: float, psf_mm: float) -> None:
    wave = 500 * np.sin(2 * np.pi * np.arange(64) / period_mm)
    hu = np.broadcast_to(wave.astype(np.float32), SIZE)
    volume, _ = scan(hu, PROFILE, dataclasses.replace(QUIET, psf_mm=psf_mm), rng())
    damped = np.exp(-2 * (np.pi * psf_mm / period_mm) ** 2)  # Fourier transform of a Gaussian
    assert volume[10, 32, 16:48] == pytest.approx(damped * wave[16:48], abs=2)


def test_a_sharp_kernel_raises_edges_and_a_soft_one_does_not() -> None:
    hu = np.zeros(SIZE, np.float32)
    hu[:, :, 32:] = 1000
    soft, _ = scan(hu, PROFILE, QUIET, rng())
    sharp, _ = scan(hu, PROFILE, dataclasses.replace(QUIET, kernel="SHARP", psf_mm=0.35, edge_gain=0.6), rng())
    inner = (slice(10, 20), slice(20, 44), slice(20, 44))
    assert soft[inner].max() < 1030
    assert 1050 < sharp[inner].max() < 1150  # 5-15 % overshoot


def test_noise_has_the_stated_size_and_no_mean() -> None:
    volume, _ = scan(np.zeros(SIZE, np.float32), PROFILE, dataclasses.replace(QUIET, noise_hu=30.0), rng())
    middle = volume[:, 16:48, 16:48]
    path_mm = 64.0  # of water, along rows and columns
    expected = 30 * max(0.5, np.exp(ATTENUATION_PER_MM * (path_mm - REFERENCE_PATH_MM) / 4))
    assert middle.std() == pytest.approx(expected, rel=0.05)
    assert abs(middle.mean()) < 0.5


def test_noise_differs_from_slice_to_slice() -> None:
    volume, _ = scan(np.zeros(SIZE, np.float32), PROFILE, dataclasses.replace(QUIET, noise_hu=30.0), rng())
    one, other = volume[4, 16:48, 16:48], volume[5, 16:48, 16:48]
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.15


def test_outside_the_field_of_view_nothing_is_measured() -> None:
    volume, _ = scan(np.zeros(SIZE, np.float32), PROFILE, QUIET, rng())
    assert (volume[:, [0, 0, -1, -1], [0, -1, 0, -1]] == -1024).all()
    assert (volume[:, 32, 1:-1] > -100).all()


def test_protocols_stay_within_the_stated_ranges_and_vary() -> None:
    protocols = [choose_protocol(SMALL, np.random.default_rng(seed)) for seed in range(60)]
    assert {protocol.kernel for protocol in protocols} == {"SOFT", "SHARP"}
    assert {protocol.thickness_mm for protocol in protocols} == set(SMALL.thicknesses_mm)
    assert all(10 <= protocol.noise_hu <= 90 for protocol in protocols)
    assert all((protocol.edge_gain > 0) == (protocol.kernel == "SHARP") for protocol in protocols)
