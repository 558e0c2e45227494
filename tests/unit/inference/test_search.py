"""Asking fewer windows: what reaches the operating score is what all windows give, and the rest stays below it."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from inference.geometry import Shape
from inference.predictor import FloatTensor
from inference.search import probability
from inference.tiling import window, window_starts
from tests.support.predictors import DETECTION

ROI, STRIDE = (8, 8, 8), (4, 4, 4)
SMALL = dataclasses.replace(DETECTION, roi_kji=ROI, stride_kji=STRIDE, operating_score=0.7)
EVERYTHING = dataclasses.replace(SMALL, operating_score=0.0)
BALL = np.linalg.norm(np.indices(ROI).T - 3.5, axis=-1) / 7.0


class Detector:
    """Sees what is in a window, less of it towards the edges, as networks do; the values are probabilities."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, windows: FloatTensor) -> FloatTensor:
        self.asked += len(windows)
        return np.asarray(np.clip(windows[:, 0] - 0.3 * BALL, 0.0, 1.0), np.float32)


def a_field(steps: tuple[int, int, int], seed: int, spots: int, noise: float) -> FloatTensor:
    """Noise with some blots of every brightness."""
    rng = np.random.default_rng(seed)
    shape = tuple(8 + 4 * step for step in steps)
    field = np.zeros(shape)
    for _ in range(spots):
        field[tuple(rng.integers(0, length) for length in shape)] = rng.uniform(20.0, 120.0)
    return np.asarray(ndimage.gaussian_filter(field, 1.5) + noise * rng.random(shape), np.float32)


def found(values: FloatTensor, detection=SMALL) -> tuple[FloatTensor, int]:  # type: ignore[no-untyped-def]
    detector = Detector()
    starts = window_starts(np.ones(values.shape, bool), ROI, STRIDE)
    return probability(values, starts, detection, detector, lambda share: None), detector.asked


def mean_of_all(values: FloatTensor) -> FloatTensor:
    total, count = np.zeros(values.shape), np.zeros(values.shape)
    for start in window_starts(np.ones(values.shape, bool), ROI, STRIDE):
        place = window(start, ROI)
        total[place] += Detector()(values[place][None, None])[0]
        count[place] += 1
    return np.asarray(total / count, np.float32)


def peaks(means: FloatTensor) -> list[tuple[np.ndarray, FloatTensor]]:
    """The components that reach the score: their voxels and values."""
    labels, count = ndimage.label(means >= SMALL.threshold, np.ones((3, 3, 3)))
    parts = [labels == number for number in range(1, count + 1)]
    return [(np.argwhere(part), means[part]) for part in parts if means[part].max() >= SMALL.operating_score]


@settings(deadline=None, max_examples=30)
@given(
    steps=st.tuples(*[st.integers(0, 4)] * 3),
    seed=st.integers(0, 2**32 - 1),
    spots=st.integers(0, 8),
    noise=st.sampled_from([0.0, 0.3, 0.6]),
)
def test_what_reaches_the_score_is_what_all_windows_give(
    steps: tuple[int, int, int], seed: int, spots: int, noise: float
) -> None:
    values = a_field(steps, seed, spots, noise)
    sparing, _ = found(values)
    expected, got = peaks(mean_of_all(values)), peaks(sparing)
    assert len(got) == len(expected)
    for (voxels, means), (other_voxels, other_means) in zip(expected, got, strict=True):
        np.testing.assert_array_equal(voxels, other_voxels)
        np.testing.assert_allclose(means, other_means, rtol=0, atol=1e-6)


@pytest.mark.parametrize("blind", list(itertools.combinations(range(8), 2)))
def test_windows_that_see_nothing_do_not_hide_what_the_others_see(blind: tuple[int, int]) -> None:
    """Six of the eight windows of the middle are certain of it: 0.75 is above 0.7, whichever two are asked first."""
    numbers = np.arange(20**3, dtype=np.float32).reshape(20, 20, 20)  # a window is known by its first voxel
    middle = list(itertools.product((4, 8), repeat=3))
    seeing = {numbers[start] for number, start in enumerate(middle) if number not in blind}

    def ask(windows: FloatTensor) -> FloatTensor:
        return np.stack([np.full(ROI, one[0, 0, 0, 0] in seeing, np.float32) for one in windows])

    means = probability(numbers, window_starts(numbers >= 0, ROI, STRIDE), SMALL, ask, lambda share: None)
    np.testing.assert_allclose(means[8:12, 8:12, 8:12], 0.75)


def test_without_a_score_to_reach_every_window_is_asked_and_averaged() -> None:
    values = a_field((3, 2, 4), seed=1, spots=6, noise=0.3)
    means, asked = found(values, EVERYTHING)
    assert asked == 4 * 3 * 5
    np.testing.assert_allclose(means, mean_of_all(values), rtol=0, atol=1e-6)


def test_where_nothing_is_seen_three_of_eight_windows_are_enough() -> None:
    """Each voxel inside has 8 windows; with 3 times nothing its mean is at most 5/8, below 0.7."""
    _, asked = found(np.zeros((40, 40, 40), np.float32))
    assert asked < 0.6 * 9**3
    _, all_of_them = found(np.ones((40, 40, 40), np.float32))
    assert all_of_them == 9**3


def test_a_voxel_that_no_window_covers_is_zero() -> None:
    values = np.full((8, 8, 16), 0.9, np.float32)
    means = probability(values, [(0, 0, 0)], SMALL, Detector(), lambda share: None)
    assert (means[:, :, 8:] == 0.0).all()
    assert (means[:, :, :8] > 0.0).all()


def test_it_tells_how_far_it_is() -> None:
    shares: list[float] = []
    starts: tuple[Shape, ...] = window_starts(np.ones((16, 16, 16), bool), ROI, STRIDE)
    probability(a_field((2, 2, 2), 3, 3, 0.3), starts, SMALL, Detector(), shares.append)
    assert shares[0] == 0.0
    assert shares == sorted(shares)
    assert shares[-1] < 1.0
