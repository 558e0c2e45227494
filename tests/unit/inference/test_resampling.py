"""Values and distances between grids."""

from __future__ import annotations

import numpy as np
import pytest

from inference.geometry import FloatArray, Grid
from inference.resampling import resample, signed_distance_mm
from tests.support.volumes import AXES, a_grid


def ramp(points_lps: FloatArray) -> FloatArray:
    """Linear in space, so that linear interpolation is exact."""
    return np.asarray(points_lps @ [3.0, -2.0, 0.5] + 7.0)


def on(grid: Grid) -> FloatArray:
    return ramp(grid.lps_from_kji(np.moveaxis(np.indices(grid.shape_kji), 0, -1)))


@pytest.mark.parametrize("axes", AXES)
def test_linear_values_stay_where_they_are_in_the_patient(axes: str) -> None:
    source = a_grid((9, 12, 14), (2.5, 0.7, 0.8), axes=axes, centre_lps=(10.0, -20.0, 30.0))
    target = a_grid((12, 6, 8), (1.0, 1.0, 1.0), axes=axes, centre_lps=(10.2, -20.3, 30.4))
    assert np.allclose(resample(on(source).astype(np.float32), source, target), on(target), atol=1e-3)


def test_another_orientation_is_another_order_of_the_same_points() -> None:
    source = a_grid((5, 6, 7), (1.0, 1.0, 1.0), axes="supine")
    turned = a_grid((5, 6, 7), (1.0, 1.0, 1.0), axes="feet first")
    values = on(source).astype(np.float32)
    assert np.allclose(resample(values, source, turned), values[::-1, :, ::-1], atol=1e-4)


def test_beyond_the_source_its_nearest_voxel_counts() -> None:
    source, target = a_grid((1, 1, 3), (1.0, 1.0, 1.0)), a_grid((1, 1, 9), (1.0, 1.0, 1.0))
    values = np.array([[[4.0, 5.0, 9.0]]], np.float32)
    assert resample(values, source, target).ravel().tolist() == [4.0, 4.0, 4.0, 4.0, 5.0, 9.0, 9.0, 9.0, 9.0]


def test_distances_are_in_millimetres_along_each_axis() -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 2, 2] = True
    distance = signed_distance_mm(mask, a_grid((5, 5, 5), (2.5, 0.7, 0.8)))
    assert distance[2, 2, 2] == 0.0
    assert distance[[4, 2, 2], [2, 4, 2], [2, 2, 4]] == pytest.approx([5.0, 1.4, 1.6])
    assert distance[4, 4, 2] == pytest.approx(np.hypot(5.0, 1.4))


def test_distances_inside_are_negative() -> None:
    mask = np.zeros((1, 7, 7), bool)
    mask[0, 1:6, 1:6] = True
    assert signed_distance_mm(mask, a_grid((1, 7, 7), (1.0, 1.0, 1.0)))[0, 3].tolist() == [1, 0, -1, -2, -1, 0, 1]
