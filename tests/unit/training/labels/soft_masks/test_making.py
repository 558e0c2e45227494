"""Soft masks from end to end, on discs and on planted faults."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training.labels.soft_masks.discs import EDGE, axes, disc, image_hu
from training.labels.soft_masks import SoftMask, from_mask, from_readers, from_recist
from training.labels.soft_masks.rejection import Reason
from training.metrics.overlap import dice

READERS = np.array([disc(6.0), disc(7.0), disc(8.0)])


def native(mask: SoftMask, scale: int) -> np.ndarray:
    return mask.alpha_ji.reshape(EDGE, scale, EDGE, scale).mean(axis=(1, 3))


@pytest.mark.parametrize("scale", [1, 4])
def test_readers_who_differ_by_a_pixel_give_the_disc_that_the_image_shows(scale: int) -> None:
    soft = from_readers(image_hu(disc(7.0)), READERS, scale=scale)
    assert soft.rejected == ()
    assert soft.alpha_ji.shape == (scale * EDGE, scale * EDGE)
    assert (soft.prior_ji == disc(7.0)).all()
    assert dice(native(soft, scale) >= 0.5, disc(7.0)) > 0.95


def test_a_single_mask_that_is_a_pixel_too_large_is_drawn_to_the_edge_of_the_image() -> None:
    soft = from_mask(image_hu(disc(7.0)), disc(8.0))
    assert soft.rejected == ()
    assert dice(soft.alpha_ji >= 0.5, disc(7.0)) > 0.95


def test_recist_axes_give_the_disc() -> None:
    soft = from_recist(image_hu(disc(9.0)), axes(9.0), scale=2)
    assert soft.rejected == ()
    assert dice(native(soft, 2) >= 0.5, disc(9.0)) > 0.95


def test_the_known_part_of_the_trimap_stands_and_alpha_lies_between_nought_and_one() -> None:
    soft = from_readers(image_hu(disc(7.0), noise_hu=120.0), READERS, scale=2)
    known = np.kron(soft.trimap_ji, np.ones((2, 2)))
    assert (soft.alpha_ji[known == 1.0] == 1.0).all()
    assert (soft.alpha_ji[known == 0.0] == 0.0).all()
    assert 0.0 <= soft.alpha_ji.min() <= soft.alpha_ji.max() <= 1.0


def test_readers_of_two_different_places_are_rejected() -> None:
    left, right = np.roll(disc(4.0), -8, axis=1), np.roll(disc(4.0), 8, axis=1)
    soft = from_readers(image_hu(left | right), np.array([left, right]))
    assert Reason.MASK_IN_PIECES in soft.rejected


def test_readers_who_share_a_few_pixels_only_are_rejected() -> None:
    readers = np.array([disc(1.0), disc(9.0)])
    assert Reason.BAND_TOO_WIDE in from_readers(image_hu(disc(5.0)), readers).rejected


def test_a_mask_much_larger_than_what_the_image_shows_is_rejected() -> None:
    """The band holds the edge of the image's disc, but half of the mask is air."""
    readers = np.array([disc(4.0), disc(10.0), disc(10.0)])
    assert Reason.MASK_DISAGREES in from_readers(image_hu(disc(4.5)), readers).rejected


def test_a_band_of_air_is_rejected() -> None:
    """All that the readers leave open lies outside the disc of the image."""
    soft = from_readers(image_hu(disc(6.0)), np.array([disc(5.5), disc(12.0)]))
    assert Reason.BAND_ONE_SIDED in soft.rejected


@pytest.mark.parametrize("scale", [1, 2])
def test_an_empty_mask_is_rejected_and_stays_empty(scale: int) -> None:
    image, empty = image_hu(disc(7.0)), np.zeros((EDGE, EDGE), bool)
    for soft in (from_mask(image, empty, scale=scale), from_readers(image, np.array([empty, empty]), scale=scale)):
        assert soft.rejected == (Reason.MASK_EMPTY,)
        assert soft.alpha_ji.shape == (scale * EDGE, scale * EDGE)
        assert not soft.alpha_ji.any()


def test_axes_outside_the_image_are_rejected() -> None:
    assert from_recist(image_hu(disc(7.0)), axes(7.0).moved((100.0, 0.0))).rejected == (Reason.MASK_EMPTY,)


def test_a_nodule_that_fills_the_image_is_rejected() -> None:
    full = np.ones((12, 12), bool)
    assert from_mask(np.zeros((12, 12), np.int16), full).rejected == (Reason.NO_BACKGROUND,)
