"""Polygons around masks, filled again by the even-odd rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from pacs_node.report.contours import contours, single_contour


def drawn(*rows: str) -> np.ndarray:
    return np.array([[mark == "#" for mark in row] for row in rows])


RING = drawn("###", "#.#", "###")
TWO_HOLES = drawn("#######", "#.#.#.#", "#######")
ISLAND = drawn("#####", "#...#", "#.#.#", "#...#", "#####")
HOLE_AT_A_CORNER = drawn("##.", "#.#", "###")
"""Outside is reached through the corner, so that this is one border that meets itself."""


def filled(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """How many polygons hold the centre of each pixel."""
    count = np.zeros(shape, int)
    rows, columns = np.indices(shape) + 0.5
    for polygon in polygons:
        crossings = np.zeros(shape, int)
        for (row, column), (other_row, other_column) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if row != other_row:
                at = column + (rows - row) * (other_column - column) / (other_row - row)
                crossings += ((row > rows) != (other_row > rows)) & (columns < at)
        count += crossings % 2
    return count


@settings(max_examples=300, deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=8)))
@example(RING)
@example(TWO_HOLES)
@example(ISLAND)
@example(HOLE_AT_A_CORNER)
def test_every_pixel_of_any_mask_is_in_one_polygon_and_no_other_pixel_is(mask: np.ndarray) -> None:
    assert (filled(contours(mask), mask.shape) == mask).all()


def test_a_pixel_is_a_square_of_its_corners() -> None:
    (square,) = contours(drawn("...", ".#."))
    assert square.tolist() == [[1, 1], [1, 2], [2, 2], [2, 1]]


def test_straight_sides_have_no_corners_between() -> None:
    (rectangle,) = contours(np.ones((3, 5), bool))
    assert rectangle.tolist() == [[0, 0], [0, 5], [3, 5], [3, 0]]


@pytest.mark.parametrize(
    ("mask", "parts"), [(RING, 1), (TWO_HOLES, 1), (HOLE_AT_A_CORNER, 1), (ISLAND, 2), (drawn("#.", ".#"), 2)]
)
def test_a_hole_is_joined_to_its_part_and_parts_stay_apart(mask: np.ndarray, parts: int) -> None:
    assert len(contours(mask)) == parts


def test_a_hole_is_reached_and_left_by_the_same_way() -> None:
    """Round the outside and up to (1, 0), in to (1, 1), round the hole, and back over (1, 1) to (1, 0)."""
    (ring,) = contours(RING)
    assert ring.tolist() == [[0, 0], [0, 3], [3, 3], [3, 0], [1, 0], [1, 1], [2, 1], [2, 2], [1, 2], [1, 0]]


def test_an_empty_mask_has_no_polygon() -> None:
    assert contours(np.zeros((4, 4), bool)) == []


DIAGONAL = drawn("##.", "##.", "..#")


@settings(max_examples=200, deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=6)))
@example(DIAGONAL)
@example(HOLE_AT_A_CORNER)
def test_parts_that_touch_are_one_line_and_others_are_none(mask: np.ndarray) -> None:
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    for number in range(1, count + 1):
        part = labels == number
        line = single_contour(part)
        assert line is not None
        assert (filled([line], mask.shape) == part).all()
    if count > 1:
        assert single_contour(mask) is None


def test_a_line_meets_itself_where_two_parts_touch() -> None:
    line = single_contour(DIAGONAL)
    assert line is not None
    assert line.tolist() == [[0, 0], [0, 2], [2, 2], [2, 3], [3, 3], [3, 2], [2, 2], [2, 0]]
