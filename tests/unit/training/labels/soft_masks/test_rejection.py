"""Each rule on a case that it is for, and on its neighbour."""

from __future__ import annotations

import numpy as np

from training.labels.soft_masks import rejection


def trimap(unknown: int) -> np.ndarray:
    """A box of 10 x 10 in 12 x 12, of which some pixels are unknown and the rest nodule."""
    inner = np.ones(100)
    inner[:unknown] = 0.5
    return np.pad(inner.reshape(10, 10), 1)


def test_a_band_of_more_than_six_tenths_of_its_box_is_too_wide() -> None:
    assert not rejection.band_is_too_wide(trimap(60))
    assert rejection.band_is_too_wide(trimap(61))


def test_a_mask_disagrees_below_a_dice_of_seven_tenths() -> None:
    """10 pixels against the first 6 of them: 2 * 6 / 16 = 0.75; against 5: 2 * 5 / 15 = 0.67."""
    prior = np.arange(20) < 10
    assert not rejection.mask_disagrees(np.arange(20) < 6, prior)
    assert rejection.mask_disagrees(np.arange(20) < 5, prior)


def test_two_pieces_are_pieces_and_crumbs_are_not() -> None:
    mask = np.zeros((9, 14), bool)
    mask[2:7, 1:6] = True
    mask[4, 8] = True
    assert not rejection.mask_is_in_pieces(mask)
    mask[2:7, 8:13] = True
    assert rejection.mask_is_in_pieces(mask)


def test_a_thin_bridge_does_not_hold_pieces_together() -> None:
    mask = np.zeros((9, 15), bool)
    mask[2:7, 1:6] = mask[2:7, 9:14] = True
    mask[4, 6:9] = True
    assert rejection.mask_is_in_pieces(mask)


def test_a_band_is_one_sided_if_its_mean_is_near_nought_or_one() -> None:
    band = np.array([[0.0, 0.5, 0.5, 1.0]])
    for mean, one_sided in ((0.10, True), (0.20, False), (0.80, False), (0.90, True)):
        alpha = np.array([[0.0, mean - 0.05, mean + 0.05, 1.0]], np.float32)
        assert rejection.band_is_one_sided(alpha, band) is one_sided


def test_no_band_is_not_one_sided() -> None:
    assert not rejection.band_is_one_sided(np.array([[0.0, 1.0]], np.float32), np.array([[0.0, 1.0]]))
