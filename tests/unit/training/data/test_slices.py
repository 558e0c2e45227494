"""Slices of patches, and batches that depend on the seed and the step alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.torch_networks import a_nodule
from training.data.luna16 import EDGE as EDGE_OF_PATCH
from training.data.slices import (
    CROP,
    EDGE,
    Samples,
    Slice,
    Variation,
    draw,
    drawing,
    middle,
    normalised,
    samples_of,
    slice_of,
    steps_per_epoch,
    turned,
)
from training.labels.malignancy import LabelRule

PLAIN = Variation(shift=0, turns=(0,))


def _samples(count: int = 5) -> Samples:
    """Images that hold their own number, with one bright corner pixel of the crop."""
    images = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None], (count, EDGE, EDGE)).copy()
    images[:, 3, 3] = 99
    return Samples(
        images_NJI=images,
        masks_NJI=(images == 99).astype(np.float32),
        soft_NJI=np.kron(images, np.ones((2, 2), np.float32)),
        malignant_N=np.array([0, 1, np.nan, 0, 1][:count], np.float32),
        patients=tuple(f"P{n}" for n in range(count)),
    )


def middle_slice(**values: Any) -> Slice:
    """The one that cuts the nodule through its centre."""
    return slice_of(a_nodule(**values), EDGE_OF_PATCH // 2)


def test_a_ball_of_5_mm_radius_is_a_disc_of_that_area() -> None:
    """Area 78.5 mm2 in pixels of 0.49 mm2; the ball is drawn in voxels of 1 mm, hence the tolerance."""
    found = middle_slice(radius=5.0)
    assert found.image_hu.shape == (EDGE, EDGE)
    assert found.mask().sum() * 0.49 == pytest.approx(78.5, rel=0.1)
    assert found.image_hu[found.mask()].mean() > -100 > found.image_hu[~found.mask()].mean()


def test_the_middle_of_a_slice_is_the_middle_of_the_patch() -> None:
    rows, columns = np.nonzero(middle_slice(radius=8.0).mask())
    assert rows.mean() == pytest.approx(EDGE // 2 + 0.5 / 0.7, abs=0.5)
    assert columns.mean() == pytest.approx(EDGE // 2 + 0.5 / 0.7, abs=0.5)


def test_a_slice_beside_the_nodule_is_empty() -> None:
    assert not slice_of(a_nodule(radius=5.0), 5).mask().any()


def test_labels_follow_the_rule_and_the_unclear_is_not_a_number() -> None:
    rated = [middle_slice(ratings=ratings) for ratings in ((1, 2), (4, 4), (3, 4), (3, 3))]
    strict = samples_of(rated, rule=LabelRule.MEAN_STRICT3).malignant_N
    rounded = samples_of(rated, rule=LabelRule.MEAN_ROUNDED).malignant_N
    assert strict.tolist()[:3] == [0, 1, 1] and np.isnan(strict[3])
    assert rounded.tolist()[:3] == [0, 1, 1] and np.isnan(rounded[3])


def test_intensities_are_clipped_to_the_window() -> None:
    assert normalised(np.array([-2000, -1000, -300, 400, 3000])).tolist() == [0, 0, 0.5, 1, 1]


def test_an_epoch_shows_every_sample_once() -> None:
    samples = _samples()
    at = drawing(samples, 1, PLAIN, seed=1)
    assert steps_per_epoch(samples, 1, PLAIN) == 5
    assert sorted(int(at(step, {}).sample_B[0]) for step in range(5)) == [0, 1, 2, 3, 4]
    assert sorted(int(at(step, {}).sample_B[0]) for step in range(5, 10)) == [0, 1, 2, 3, 4]


def test_an_exhaustive_epoch_shows_every_sample_in_every_turn() -> None:
    samples = _samples()
    every = Variation(shift=0, turns=(0, 1, 2, 3, 4, 5, 6), is_exhaustive=True)
    assert steps_per_epoch(samples, 5, every) == 7
    corners = set()
    for step in range(7):
        batch = drawing(samples, 5, every, seed=1)(step, {})
        for sample, image in zip(batch.sample_B, batch.image_B1JI, strict=True):
            row, column = divmod(int(image.argmax()), CROP)
            corners.add((int(sample), row, column))
    assert len(corners) == 5 * 4, "seven turns put the corner into all four corners"


def test_the_same_step_is_the_same_batch_whatever_came_before() -> None:
    samples, vary = _samples(), Variation()
    one, other = drawing(samples, 2, vary, seed=4), drawing(samples, 2, vary, seed=4)
    one(0, {})
    assert (one(3, {}).image_B1JI == other(3, {}).image_B1JI).all()
    assert (drawing(samples, 2, vary, seed=5)(3, {}).image_B1JI != other(3, {}).image_B1JI).any()


def test_mask_and_soft_mask_move_with_the_image() -> None:
    batch = draw(_samples(), np.arange(5), Variation(), np.random.default_rng(8))
    assert ((batch.image_B1JI == 99) == (batch.mask_B1JI == 1)).all()
    assert (batch.soft_B1JI[..., ::2, ::2] == batch.image_B1JI).all()
    assert batch.soft_B1JI.shape[-1] == 2 * CROP


def test_turns_are_the_eight_ways_to_put_a_square() -> None:
    square = np.array([[1, 2], [3, 4]])
    assert {turned(square, turn).tobytes() for turn in range(8)}.__len__() == 8
    assert turned(square, 1).tolist() == [[2, 4], [1, 3]], "a quarter turn to the left"
    assert turned(square, 4).tolist() == [[1, 3], [2, 4]], "the transposition"


def test_the_middle_of_71_pixels_is_64_of_them() -> None:
    assert middle(np.arange(EDGE)[None].repeat(EDGE, 0))[0].tolist() == list(range(3, 67))


def test_parts_share_a_batch() -> None:
    batch = draw(_samples(), np.arange(5), PLAIN, np.random.default_rng(0))
    assert batch.part(0, 2).sample_B.tolist() == [0, 2, 4]
    assert batch.part(1, 2).sample_B.tolist() == [1, 3]
