"""Tubes: their volumes are those of cylinders and capsules."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.phantom.tubes import Tubes, chain, joined, paint, splat


def a_tube(start: tuple[float, float, float], end: tuple[float, float, float], radius_mm: float) -> Tubes:
    return chain([start, end], radius_mm)


@pytest.mark.parametrize("radius_mm", [0.2, 0.4, 0.7, 0.9])
@pytest.mark.parametrize("end", [(30.3, 12.2, 15.8), (12.1, 28.4, 25.6)])
def test_no_volume_of_a_thin_tube_is_lost(radius_mm: float, end: tuple[float, float, float]) -> None:
    field = np.zeros((40, 40, 40), np.float32)
    start = (10.1, 11.7, 13.4)
    splat(field, a_tube(start, end, radius_mm))
    length = np.linalg.norm(np.subtract(end, start))
    assert field.sum() == pytest.approx(np.pi * radius_mm**2 * length, rel=1e-4)


def test_thin_tubes_lie_where_they_are_drawn() -> None:
    field = np.zeros((20, 20, 20), np.float32)
    splat(field, a_tube((4, 6.5, 10), (14, 6.5, 10), 0.3))
    at = np.argwhere(field > 0)
    assert at.min(axis=0).tolist() == [4, 6, 10]
    assert at.max(axis=0).tolist() == [14, 7, 10]


def test_the_volume_of_a_thick_tube_is_that_of_a_capsule() -> None:
    field = np.zeros((50, 40, 40), np.float32)
    paint(field, a_tube((10.3, 18.8, 20.1), (35.7, 22.4, 17.5), 5))
    length = np.linalg.norm([25.4, 3.6, 2.6])
    assert field.sum() == pytest.approx(np.pi * 25 * length + 4 / 3 * np.pi * 125, rel=0.01)


def test_tubes_may_reach_beyond_the_volume() -> None:
    field = np.zeros((10, 10, 10), np.float32)
    outside = a_tube((-30, -30, -30), (-20, -20, -20), 2)
    tubes = joined([outside, a_tube((-20, 5, 5), (30, 5, 5), 2)])
    paint(field, tubes)
    splat(field, outside)
    assert field.sum() == pytest.approx(10 * np.pi * 4, rel=0.05)


def test_overlapping_tubes_cover_a_voxel_once() -> None:
    field = np.zeros((20, 20, 20), np.float32)
    tube = a_tube((5, 10, 10), (15, 10, 10), 3)
    paint(field, joined([tube, tube]))
    assert field.max() == 1
