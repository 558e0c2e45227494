"""GrabCut from the axes of a disc."""

from __future__ import annotations

import numpy as np

from tests.unit.training.labels.soft_masks.discs import axes, disc, image_hu
from training.labels.soft_masks.grabcut import mask_from_recist
from training.labels.soft_masks.matting import grey_from_hu
from training.metrics.overlap import dice


def test_a_bright_disc_is_found_from_its_diameters() -> None:
    """The quadrilateral between the ends is the inscribed square: its Dice is 2 * (2 / pi) / (1 + 2 / pi) = 0.78."""
    mask = disc(9.0)
    assert dice(mask_from_recist(grey_from_hu(image_hu(mask)), axes(9.0)), mask) > 0.97


def test_a_vessel_that_leaves_the_rectangle_is_cut() -> None:
    mask = disc(7.0)
    image = image_hu(mask)
    image[22:25, :] = 20
    found = mask_from_recist(grey_from_hu(image), axes(7.0))
    assert dice(found, mask) > 0.9
    assert not found[:, :10].any()


def test_the_same_input_gives_the_same_mask_whatever_was_made_before() -> None:
    image = grey_from_hu(image_hu(disc(8.0), noise_hu=150.0))
    first = mask_from_recist(image, axes(8.0))
    mask_from_recist(grey_from_hu(image_hu(disc(4.0))), axes(4.0))
    assert (mask_from_recist(image, axes(8.0)) == first).all()


def test_axes_outside_the_image_give_an_empty_mask() -> None:
    image = grey_from_hu(image_hu(disc(8.0)))
    for step in ((200.0, 0.0), (-200.0, 0.0), (0.0, -200.0)):
        assert not mask_from_recist(image, axes(8.0).moved(step)).any()


def test_axes_as_large_as_the_image_leave_no_background_and_give_an_empty_mask() -> None:
    assert not mask_from_recist(np.zeros((20, 20)), axes(9.5, centre=9.5)).any()
