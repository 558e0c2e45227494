"""Voxels and places: by hand, there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.geometry import Grid, Shape, Spacing
from tests.support.series import AXIAL

A_GRID = Grid(
    shape_kji=(10, 20, 30),
    spacing_mm=(2.5, 0.5, 0.75),
    origin_lps=(-100.0, 50.0, 7.0),
    directions=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
)
"""axial and supine: k goes along z, j along y, i along x"""

millimetres = st.floats(0.1, 10.0)
anywhere = st.floats(-1000.0, 1000.0)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Any grid whose axes are perpendicular, also a left-handed one."""
    axes, _ = np.linalg.qr(
        np.array(draw(st.lists(st.floats(-1, 1), min_size=9, max_size=9))).reshape(3, 3) + 2 * np.eye(3)
    )
    first, second, third = ((float(x), float(y), float(z)) for x, y, z in axes)
    return Grid(
        shape_kji=draw(st.tuples(*[st.integers(2, 50)] * 3)),
        spacing_mm=draw(st.tuples(millimetres, millimetres, millimetres)),
        origin_lps=draw(st.tuples(anywhere, anywhere, anywhere)),
        directions=(first, second, third),
    )


@pytest.mark.parametrize(
    ("index_kji", "point_lps"),
    [
        ((0, 0, 0), (-100.0, 50.0, 7.0)),
        ((2, 0, 0), (-100.0, 50.0, 12.0)),
        ((0, 4, 0), (-100.0, 52.0, 7.0)),
        ((0, 0, 4), (-97.0, 50.0, 7.0)),
        ((-1, 0.5, 1), (-99.25, 50.25, 4.5)),
    ],
)
def test_an_index_has_the_place_worked_out_by_hand(index_kji: tuple[float, ...], point_lps: tuple[float, ...]) -> None:
    assert A_GRID.lps_from_kji(index_kji) == pytest.approx(point_lps)
    assert A_GRID.kji_from_lps(point_lps) == pytest.approx(index_kji)


def test_an_orientation_of_another_axis_changes_another_coordinate() -> None:
    row, column = AXIAL["on the side"][:3], AXIAL["on the side"][3:]  # rows to the back, columns to the right
    grid = Grid(
        shape_kji=(2, 2, 2), spacing_mm=(1.0, 2.0, 3.0), origin_lps=(0, 0, 0), directions=((0, 0, 1), column, row)
    )
    assert grid.lps_from_kji((0, 1, 0)) == pytest.approx((-2.0, 0.0, 0.0))
    assert grid.lps_from_kji((0, 0, 1)) == pytest.approx((0.0, 3.0, 0.0))


@given(grids(), st.lists(st.tuples(anywhere, anywhere, anywhere), min_size=1, max_size=5))
def test_there_and_back_is_where_it_was(grid: Grid, indices_kji: list[tuple[float, float, float]]) -> None:
    assert grid.kji_from_lps(grid.lps_from_kji(indices_kji)) == pytest.approx(np.array(indices_kji), abs=1e-6)


@given(grids())
def test_neighbours_lie_one_spacing_apart(grid: Grid) -> None:
    for axis, spacing in enumerate(grid.spacing_mm):
        step = grid.lps_from_kji(np.eye(3)[axis]) - grid.lps_from_kji((0, 0, 0))
        assert np.linalg.norm(step) == pytest.approx(spacing)


def test_many_indices_at_once_keep_their_shape() -> None:
    indices_kji = np.zeros((4, 5, 3))
    indices_kji[3, 2] = (2, 4, 4)
    points_lps = A_GRID.lps_from_kji(indices_kji)
    assert points_lps.shape == (4, 5, 3)
    assert points_lps[3, 2] == pytest.approx((-97.0, 52.0, 12.0))


def test_the_volume_of_a_voxel_is_the_product_of_its_edges() -> None:
    assert A_GRID.voxel_mm3 == pytest.approx(0.9375)


@given(grids(), st.tuples(*[st.integers(0, 9)] * 3), st.tuples(anywhere, anywhere, anywhere))
def test_a_crop_keeps_every_voxel_in_its_place(grid: Grid, start_kji: Shape, index: tuple[float, float, float]) -> None:
    cropped = grid.cropped(start_kji, (1, 2, 3))
    assert cropped.shape_kji == (1, 2, 3)
    assert cropped.lps_from_kji(index) == pytest.approx(grid.lps_from_kji(np.add(index, start_kji)), abs=1e-6)


def test_resampling_to_1_mm_covers_the_box_by_hand() -> None:
    grid = A_GRID.resampled((1.0, 1.0, 1.0))
    # 9 x 2.5 = 22.5 mm, 19 x 0.5 = 9.5 mm and 29 x 0.75 = 21.75 mm between the outer voxel centres
    assert grid.shape_kji == (23, 10, 22)
    assert grid.origin_lps == A_GRID.origin_lps
    assert grid.directions == A_GRID.directions


def test_resampling_does_not_lose_a_voxel_to_rounding() -> None:
    grid = Grid(shape_kji=(4, 4, 4), spacing_mm=(0.1, 0.1, 0.1), origin_lps=(0, 0, 0), directions=A_GRID.directions)
    assert grid.resampled((0.3, 0.3, 0.3)).shape_kji == (
        2,
        2,
        2,
    )  # 3 x 0.1 / 0.3 is 1.0000000000000002 or 0.9999999999999999


@given(grids(), st.tuples(millimetres, millimetres, millimetres))
def test_a_resampled_grid_ends_within_one_step_of_the_old_one(grid: Grid, spacing_mm: Spacing) -> None:
    resampled = grid.resampled(spacing_mm)
    for count, step, old_count, old_step in zip(
        resampled.shape_kji, spacing_mm, grid.shape_kji, grid.spacing_mm, strict=True
    ):
        left = (old_count - 1) * old_step - (count - 1) * step
        assert -1e-4 * step <= left < step
