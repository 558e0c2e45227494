"""Resampling, textures and soft edges, against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.phantom.fields import along_axes, blend, coverage, refined, smooth_noise, spline_matrix


def test_a_cubic_is_interpolated_exactly() -> None:
    def cubic(x: np.ndarray) -> np.ndarray:
        return 2 - x + 0.5 * x**2 - 0.03 * x**3

    at = np.array([0.0, 0.3, 4.7, 8.25, 9.0])
    assert spline_matrix(10, at) @ cubic(np.arange(10.0)) == pytest.approx(cubic(at), abs=1e-4)


def test_the_end_sample_is_repeated_beyond_the_ends() -> None:
    samples = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    assert spline_matrix(5, np.array([-7.0, 11.0])) @ samples == pytest.approx([3, 5], abs=1e-5)


def test_each_axis_gets_its_own_matrix() -> None:
    field = np.arange(24.0).reshape(2, 3, 4)
    summed = along_axes(field, [np.ones((1, 2)), np.eye(3), np.array([[1.0, 0, 0, 0]])])
    assert summed[:, :, 0].tolist() == [[0 + 12, 4 + 16, 8 + 20]]


def test_refining_puts_the_first_samples_on_top_of_each_other() -> None:
    coarse = np.broadcast_to(np.arange(6.0)[:, None, None], (6, 6, 6))
    fine = refined(coarse, 2, (9, 9, 9))
    assert fine[:, 4, 4] == pytest.approx(np.arange(9) / 2, abs=1e-5)


def test_noise_has_unit_variance_and_its_correlation_length() -> None:
    noise = smooth_noise(np.random.default_rng(3), (64, 64, 64), 8.0)
    flat = noise - noise.mean()

    def correlation(voxels: int) -> float:
        return float((flat[voxels:] * flat[:-voxels]).mean() / flat.var())

    assert noise.std() == pytest.approx(1, abs=1e-3)
    assert correlation(1) > 0.8
    assert abs(correlation(16)) < 0.15


def test_a_voxel_on_the_surface_is_covered_by_half() -> None:
    assert coverage(np.array([-3.0, -0.5, -0.25, 0.0, 0.25, 0.5, 3.0])).tolist() == [1, 1, 0.75, 0.5, 0.25, 0, 0]


def test_blending_mixes_by_share() -> None:
    hu = np.array([-1000.0, -1000.0, -1000.0])
    blend(hu, np.array([0.0, 0.25, 1.0]), 0.0)
    assert hu.tolist() == [-1000, -750, 0]
