"""RECIST axes as values."""

from __future__ import annotations

import pytest

from training.labels.recist import AxesImpossible, axes_of


def test_the_longer_line_is_the_long_axis() -> None:
    axes = axes_of(((0, 0), (0, 3)), ((1, 1), (5, 1)))
    assert axes.long_xy == ((1, 1), (5, 1))
    assert axes.short_xy == ((0, 0), (0, 3))


def test_the_ends_go_round_the_lesion() -> None:
    assert axes_of(((0, 2), (6, 2)), ((3, 0), (3, 4))).ends_xy == ((0, 2), (3, 0), (6, 2), (3, 4))


def test_axes_move_with_the_crop() -> None:
    moved = axes_of(((10, 12), (16, 12)), ((13, 10), (13, 14))).moved((10, 8))
    assert moved == axes_of(((0, 4), (6, 4)), ((3, 2), (3, 6)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -2e6])
def test_a_place_outside_any_image_is_impossible(bad: float) -> None:
    with pytest.raises(AxesImpossible, match="not a pixel"):
        axes_of(((0, 0), (bad, 3)), ((1, 1), (5, 1)))


def test_an_axis_without_length_is_impossible() -> None:
    with pytest.raises(AxesImpossible, match="no length"):
        axes_of(((2, 2), (2, 2)), ((1, 1), (5, 1)))
