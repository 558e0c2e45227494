"""Matting on images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from training.labels.soft_masks.matting import enlarge, grey_from_hu, matte, smooth
from training.labels.soft_masks.trimaps import UNKNOWN


def ramp_case() -> tuple[np.ndarray, np.ndarray]:
    """Columns 0..3 are background of 0.2, 8..11 nodule of 0.8; between them the grey rises in equal steps."""
    grey = np.tile(np.interp(np.arange(12), (3, 8), (0.2, 0.8)), (8, 1))
    trimap = np.tile(np.where(np.arange(12) < 4, 0.0, np.where(np.arange(12) > 7, 1.0, UNKNOWN)), (8, 1))
    return grey, trimap


def test_the_window_is_from_minus_1000_to_400_hu() -> None:
    image = np.array([[-2000, -1000, -300, 400, 3000]], np.int16)
    assert grey_from_hu(image).tolist() == [[0.0, 0.0, 0.5, 1.0, 1.0]]


def test_a_mixture_of_two_greys_gives_the_mixing_ratio() -> None:
    """Column 5 is 2 of 5 steps from background to nodule."""
    alpha = matte(*ramp_case())
    np.testing.assert_allclose(alpha[4, 3:9], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], atol=0.02)


def test_known_pixels_keep_their_value_and_all_lie_between_nought_and_one() -> None:
    grey, trimap = ramp_case()
    noise = np.random.default_rng(1).normal(0, 0.05, grey.shape)
    alpha = matte(np.clip(grey + noise, 0, 1), trimap)
    assert alpha.dtype == np.float32
    assert (alpha[trimap != UNKNOWN] == trimap[trimap != UNKNOWN]).all()
    assert alpha.min() == 0.0
    assert alpha.max() == 1.0


def test_what_lies_far_from_the_band_changes_nothing() -> None:
    grey, trimap = ramp_case()
    wide_grey, wide_trimap = (np.pad(array, ((0, 0), (9, 0)), mode="edge") for array in (grey, trimap))
    wide_grey[:, :6] = 0.9
    np.testing.assert_allclose(matte(wide_grey, wide_trimap)[:, 9:], matte(grey, trimap), atol=1e-6)


def test_nothing_unknown_is_nothing_to_find() -> None:
    grey, trimap = ramp_case()
    assert (matte(grey, np.round(trimap)) == np.round(trimap)).all()


def test_enlargement_is_that_of_torch() -> None:
    """DSNet enlarges its input so; its soft masks must lie on the same pixels."""
    small = np.random.default_rng(4).uniform(0.3, 0.7, (8, 9))
    large = interpolate(torch.from_numpy(small)[None, None], scale_factor=4, mode="bicubic", align_corners=False)
    np.testing.assert_allclose(enlarge(small, 4), large[0, 0].numpy(), atol=1e-6)


def test_enlargement_does_not_overshoot() -> None:
    step = np.repeat([[0.0, 1.0]], 4, axis=1).repeat(8, axis=0)
    large = enlarge(step, 4)
    assert (large.min(), large.max()) == (0.0, 1.0)


def test_smoothing_keeps_the_mean_of_noise_and_lowers_its_spread() -> None:
    noise = np.random.default_rng(2).uniform(0.3, 0.7, (40, 40))
    assert smooth(noise).mean() == pytest.approx(noise.mean(), abs=0.003)
    assert smooth(noise).std() < 0.6 * noise.std()
