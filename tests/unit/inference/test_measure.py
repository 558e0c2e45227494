"""Measurements against hand-worked numbers and analytic shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inference.errors import EmptyMask
from inference.findings import Attenuation, Axis, CroppedMask
from inference.geometry import Grid, Spacing
from inference.measure import attenuation, axes, equivalent_diameter_mm, measure
from inference.volume import BoolArray, HuArray, Volume
from tests.support.volumes import a_grid


def a_mask(voxels: object, start_kji: tuple[int, int, int] = (0, 0, 0)) -> CroppedMask:
    return CroppedMask(start_kji=start_kji, voxels=np.atleast_3d(np.asarray(voxels, bool)))


def plane(pixels: object, start_kji: tuple[int, int, int] = (0, 0, 0)) -> CroppedMask:
    """A mask of one slice."""
    return CroppedMask(start_kji=start_kji, voxels=np.asarray(pixels, bool)[None])


def a_volume_of(volume_hu: HuArray, grid: Grid | None = None) -> Volume:
    return Volume(volume_hu=volume_hu, grid=grid or a_grid(volume_hu.shape), frame_of_reference_uid="")


def ellipse(a_mm: float, b_mm: float, angle_deg: float, pixel_mm: tuple[float, float]) -> BoolArray:
    """An ellipse about the middle of a slice; the angle turns its long axis from the x to the y direction."""
    y, x = (
        (np.arange(count) - (count - 1) / 2) * mm
        for count, mm in ((int(60 / pixel_mm[0]), pixel_mm[0]), (int(60 / pixel_mm[1]), pixel_mm[1]))
    )
    angle = math.radians(angle_deg)
    along = x * math.cos(angle) + y[:, None] * math.sin(angle)
    across = -x * math.sin(angle) + y[:, None] * math.cos(angle)
    return np.asarray((along / a_mm) ** 2 + (across / b_mm) ** 2 <= 1.0, bool)


def ends_mm(axis: Axis, spacing_mm: Spacing) -> np.ndarray:
    return np.asarray(axis.ends_ji) * spacing_mm[1:]


def test_a_single_voxel_is_as_long_as_its_diagonal() -> None:
    long, short = axes(a_mask([[[True]]], (4, 7, 9)), (2.0, 3.0, 4.0))
    assert long.length_mm == pytest.approx(5.0)
    assert long.slice_k == 4
    assert sorted(long.ends_ji)[0][0] == pytest.approx(6.5)
    assert sorted(long.ends_ji)[1][0] == pytest.approx(7.5)
    assert short.length_mm == pytest.approx(3.75)  # height x diagonal / width of a 4 x 3 box = 3 x 5 / 4


def test_the_axes_of_a_square_are_its_diagonals() -> None:
    long, short = axes(plane(np.ones((10, 10))), (1.0, 0.7, 0.7))
    assert long.length_mm == pytest.approx(7.0 * math.sqrt(2))
    assert short.length_mm == pytest.approx(7.0 * math.sqrt(2))


def test_the_axes_of_a_rectangle() -> None:
    long, short = axes(plane(np.ones((10, 20))), (1.0, 0.5, 0.5))
    assert long.length_mm == pytest.approx(math.hypot(10.0, 5.0))
    assert short.length_mm == pytest.approx(5.0 * math.hypot(10.0, 5.0) / 10.0)


def test_pixels_that_are_not_square_are_measured_in_millimetres() -> None:
    long, short = axes(plane(np.ones((4, 4))), (1.0, 2.0, 0.5))  # 8 mm high, 2 mm wide
    assert long.length_mm == pytest.approx(math.hypot(8.0, 2.0))
    assert short.length_mm == pytest.approx(2.0 * math.hypot(8.0, 2.0) / 8.0)


def test_the_ends_are_corners_of_pixels_in_indices_of_the_ct() -> None:
    long, _ = axes(plane([[1, 1]], (5, 10, 20)), (1.0, 1.0, 1.0))
    assert long.slice_k == 5
    assert sorted(long.ends_ji) in (
        [pytest.approx((9.5, 19.5)), pytest.approx((10.5, 21.5))],
        [pytest.approx((9.5, 21.5)), pytest.approx((10.5, 19.5))],
    )


def test_a_diagonal_of_pixels_is_long_and_thin() -> None:
    long, short = axes(plane(np.eye(5)), (1.0, 1.0, 1.0))
    assert long.length_mm == pytest.approx(5.0 * math.sqrt(2))
    assert short.length_mm == pytest.approx(math.sqrt(2))  # the other diagonal of one pixel


@pytest.mark.parametrize("angle_deg", [0.0, 17.0, 30.0, 45.0, 80.0, 90.0, 133.0])
@pytest.mark.parametrize("pixel_mm", [(0.7, 0.7), (0.5, 0.9)])
def test_the_axes_of_a_turned_ellipse_are_its_own(angle_deg: float, pixel_mm: tuple[float, float]) -> None:
    long, short = axes(plane(ellipse(12.0, 7.0, angle_deg, pixel_mm)), (1.0, *pixel_mm))
    diagonal_mm = math.hypot(*pixel_mm)
    assert 24.0 - diagonal_mm < long.length_mm < 24.0 + diagonal_mm
    assert 14.0 - diagonal_mm < short.length_mm < 14.0 + diagonal_mm


@pytest.mark.parametrize("angle_deg", [0.0, 17.0, 45.0, 133.0])
def test_ends_fit_the_lengths_and_the_axes_are_perpendicular(angle_deg: float) -> None:
    spacing = (1.0, 0.5, 0.9)
    long, short = axes(plane(ellipse(12.0, 7.0, angle_deg, (0.5, 0.9)), (3, 40, 50)), spacing)
    first, second = ends_mm(long, spacing), ends_mm(short, spacing)
    assert math.dist(*first) == pytest.approx(long.length_mm)
    assert math.dist(*second) == pytest.approx(short.length_mm)
    assert abs(np.dot(first[1] - first[0], second[1] - second[0])) < 1e-6
    assert long.slice_k == short.slice_k == 3


def test_the_short_axis_is_the_longest_of_all_perpendicular_lines() -> None:
    """Against lines drawn every 0.03 mm and points every 0.02 mm on them; this shape has a hollow and steps."""
    pixels = ellipse(12.0, 7.0, 25.0, (0.7, 0.7))
    pixels[40:48, 36:44] = False
    pixels[30:34, 60:66] = True
    long, short = axes(plane(pixels), (1.0, 0.7, 0.7))
    first, second = ends_mm(long, (1.0, 0.7, 0.7))
    along = (second - first) / long.length_mm
    t, s = np.meshgrid(np.arange(0.005, long.length_mm, 0.03), np.arange(-15.0, 15.0, 0.02), indexing="ij")
    points = first + t[..., None] * along + s[..., None] * np.array([-along[1], along[0]])
    row, column = np.moveaxis(np.floor(points / 0.7 + 0.5).astype(int), -1, 0)
    inside = pixels[np.clip(row, 0, len(pixels) - 1), np.clip(column, 0, len(pixels) - 1)]
    reach = np.where(inside.any(axis=1), np.where(inside, s, -99).max(axis=1) - np.where(inside, s, 99).min(axis=1), 0)
    assert short.length_mm == pytest.approx(reach.max(), abs=0.06)


def test_the_slice_with_the_longest_line_counts_and_the_first_of_equal_ones() -> None:
    voxels = np.zeros((4, 3, 5), bool)
    voxels[0, 0, :2] = voxels[1, 1, :4] = voxels[2, 2, :4] = voxels[3, :2, :2] = True
    long, short = axes(a_mask(voxels, (10, 0, 0)), (1.0, 1.0, 1.0))
    assert long.slice_k == short.slice_k == 11
    assert long.length_mm == pytest.approx(math.hypot(4.0, 1.0))


def test_a_slice_without_voxels_between_others_does_no_harm() -> None:
    voxels = np.zeros((3, 2, 2), bool)
    voxels[0], voxels[2, 0, 0] = True, True
    assert axes(a_mask(voxels), (1.0, 1.0, 1.0))[0].slice_k == 0


def test_volume_and_diameter_of_a_ball() -> None:
    k, j, i = np.indices((45, 63, 63), float)
    distance_mm = np.sqrt(((k - 22) * 0.7) ** 2 + ((j - 31) * 0.5) ** 2 + ((i - 31) * 0.5) ** 2)
    mask = distance_mm <= 12.0
    assert equivalent_diameter_mm(mask, (0.7, 0.5, 0.5)) == pytest.approx(24.0, rel=0.003)
    long, short = axes(a_mask(mask), (0.7, 0.5, 0.5))
    assert long.slice_k in (21, 22, 23)  # next to the equator steps of pixels decide
    assert long.length_mm == pytest.approx(24.0, abs=0.71)
    assert short.length_mm == pytest.approx(24.0, abs=0.71)


def test_eight_cubic_millimetres_are_a_ball_of_2_48_mm() -> None:
    assert equivalent_diameter_mm(np.ones((2, 2, 2), bool), (1.0, 1.0, 1.0)) == pytest.approx(2.4814, abs=1e-4)


def test_hounsfield_units_and_place_are_those_of_the_masked_voxels() -> None:
    values = np.full((4, 5, 6), -900, np.int16)
    values[1, 2, 3:6] = (0, 10, 20)
    grid = a_grid((4, 5, 6), (2.0, 0.5, 0.5), axes="feet first")
    got = measure(a_mask([[[True, True, True]]], (1, 2, 3)), a_volume_of(values, grid))
    assert (got.mean_hu, got.minimum_hu, got.maximum_hu) == (10.0, 0.0, 20.0)
    assert got.sd_hu == pytest.approx(math.sqrt(200.0 / 3.0))
    assert got.volume_mm3 == pytest.approx(1.5)
    assert got.equivalent_diameter_mm == pytest.approx((9.0 / math.pi) ** (1 / 3))
    assert got.centre_lps == pytest.approx(
        (-0.75, 0.0, 1.0)
    )  # i and k run against x and z from the middle (1.5, 2, 2.5)


@pytest.mark.parametrize(
    ("dense_hu", "dense_voxels", "expected"),
    [
        (-299, 0, Attenuation.NON_SOLID),
        (-299, 1, Attenuation.PART_SOLID),  # 1 of 9 is 11 %
        (-299, 3, Attenuation.PART_SOLID),  # 33 %
        (-299, 4, Attenuation.SOLID),  # 44 %
        (-300, 9, Attenuation.NON_SOLID),
        (201, 1, Attenuation.CALCIFIED),
        (200, 9, Attenuation.SOLID),
    ],
)
def test_the_type_follows_the_share_of_dense_voxels_inside_the_rim(
    dense_hu: int, dense_voxels: int, expected: Attenuation
) -> None:
    values = np.full((1, 5, 5), 1000, np.int16)  # the rim would be calcium
    core = np.full(9, -600, np.int16)
    core[:dense_voxels] = dense_hu
    values[0, 1:4, 1:4] = core.reshape(3, 3)
    assert attenuation(np.ones((1, 5, 5), bool), values) is expected


def test_the_rim_counts_where_there_is_nothing_else() -> None:
    assert attenuation(np.ones((1, 2, 2), bool), np.full((1, 2, 2), 40, np.int16)) is Attenuation.SOLID
    assert attenuation(np.ones((3, 2, 2), bool), np.full((3, 2, 2), -700, np.int16)) is Attenuation.NON_SOLID


def test_slices_above_and_below_are_no_rim() -> None:
    values = np.full((1, 3, 3), -600, np.int16)
    values[0, 1, 1] = 50
    assert attenuation(np.ones((1, 3, 3), bool), values) is Attenuation.SOLID


def test_an_empty_mask_has_no_measurements() -> None:
    nothing = a_mask(np.zeros((2, 2, 2)))
    with pytest.raises(EmptyMask):
        equivalent_diameter_mm(nothing.voxels, (1.0, 1.0, 1.0))
    with pytest.raises(EmptyMask):
        measure(nothing, a_volume_of(np.zeros((2, 2, 2), np.int16)))
