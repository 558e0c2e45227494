"""Worked by hand on small masks."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics.surface import surface_distance


def test_a_mask_is_at_no_distance_from_itself() -> None:
    mask = np.zeros((7, 7), bool)
    mask[2:5, 2:5] = True
    found = surface_distance(mask, mask, (1.0, 1.0))
    assert found is not None and (found.hausdorff_mm, found.average_mm) == (0.0, 0.0)


def test_two_pixels_three_columns_apart_are_three_spacings_apart() -> None:
    one, other = np.zeros((5, 9), bool), np.zeros((5, 9), bool)
    one[2, 2] = other[2, 5] = True
    found = surface_distance(one, other, (2.0, 0.5))
    assert found is not None and (found.hausdorff_mm, found.average_mm) == (1.5, 1.5)


def test_the_largest_distance_and_the_mean_of_both_outlines_differ() -> None:
    one, other = np.zeros((1, 9), bool), np.zeros((1, 9), bool)
    one[0, 2:4] = True  # columns 2, 3
    other[0, 2:7] = True  # columns 2 to 6; its outline in one row is all of it
    found = surface_distance(one, other, (1.0, 1.0))
    assert found is not None
    assert found.hausdorff_mm == 3.0
    assert found.average_mm == pytest.approx((0 + 0 + 0 + 0 + 1 + 2 + 3) / 7)


def test_an_empty_mask_has_no_surface() -> None:
    mask = np.ones((3, 3), bool)
    assert surface_distance(mask, np.zeros_like(mask), (1.0, 1.0)) is None
