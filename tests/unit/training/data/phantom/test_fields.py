"""Resampling, textures and soft edges, against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from training.data.phantom.fields import along, blend, coverage, interpolated, refined, smooth_noise


def test_a_cubic_is_interpolated_exactly_away_from_the_ends() -> None:
    def cubic(x: np.ndarray) -> np.ndarray:
        return 2 - x + 0.05 * x**2 - 0.001 * x**3

    at = np.array([15.0, 17.3, 20.7, 24.25])
    assert interpolated(cubic(np.arange(40.0)), [at]) == pytest.approx(cubic(at), abs=1e-4)


def test_samples_keep_their_values() -> None:
    samples = np.random.default_rng(1).normal(size=(5, 6, 7))
    same = interpolated(samples, [np.arange(float(n)) for n in samples.shape])
    assert same == pytest.approx(samples, abs=1e-5)


def test_the_end_sample_is_repeated_beyond_the_ends() -> None:
    samples = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    assert interpolated(samples, [np.array([-7.0, 11.0])]) == pytest.approx([3, 5], abs=1e-5)


def test_each_axis_has_its_own_positions() -> None:
    samples = np.arange(64.0).reshape(4, 4, 4)
    chosen = interpolated(samples, [np.array([1.0]), np.array([0.0, 3.0]), np.array([2.0, 0.0])])
    assert chosen.tolist() == [[pytest.approx([18, 16], abs=1e-4), pytest.approx([30, 28], abs=1e-4)]]


def test_a_matrix_applies_to_the_axis_asked_for() -> None:
    field = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    assert (
        along(sparse.csr_array(np.ones((1, 3), np.float32)), field, 1).tolist() == field.sum(axis=1)[:, None].tolist()
    )


def test_refining_puts_the_first_samples_on_top_of_each_other() -> None:
    coarse = np.random.default_rng(4).normal(size=(6, 7, 8))
    fine = refined(coarse, 2, (9, 12, 11))
    assert fine.shape == (9, 12, 11)
    assert fine[::2, ::2, ::2] == pytest.approx(coarse[:5, :6, :6], abs=1e-5)


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
