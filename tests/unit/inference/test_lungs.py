"""Lungs of synthetic chests."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from inference.errors import LungsNotFound
from inference.findings import Laterality
from inference.geometry import FloatArray, Point
from inference.lungs import Lungs, find_lungs
from inference.volume import Volume
from tests.support.series import Ball, chest_hu
from tests.support.volumes import AXES, a_grid, a_volume

LUNG_CM2 = np.pi * 4.5 * 6.5  # each of the two ellipses of `chest_hu`


def is_inside(lungs: Lungs, volume: Volume, point_lps: Point) -> bool:
    k, j, i = np.rint(volume.grid.kji_from_lps(point_lps)).astype(int)
    return bool(lungs.mask_kji[k, j, i])


def distance_mm(lungs: Lungs, volume: Volume, point_lps: Point) -> float:
    """From a point to the nearest voxel of lung."""
    voxels_lps = volume.grid.lps_from_kji(np.argwhere(lungs.mask_kji))
    return float(np.linalg.norm(voxels_lps - point_lps, axis=1).min())


def volume_cm3(lungs: Lungs, volume: Volume) -> float:
    return float(lungs.mask_kji.sum() * volume.grid.voxel_mm3 / 1000.0)


@pytest.mark.parametrize("axes", AXES)
def test_both_lungs_are_found_in_any_axial_orientation_and_off_the_centre(axes: str) -> None:
    centre_lps = (25.0, -18.0, 400.0)
    volume = a_volume(chest_hu(), a_grid((40, 150, 150), (2.5, 2.0, 2.0), axes=axes, centre_lps=centre_lps))
    lungs = find_lungs(volume)
    assert volume_cm3(lungs, volume) == pytest.approx(2 * LUNG_CM2 * 10.0, rel=0.04)
    assert abs(lungs.midline_mm) < 3.0
    for x in (-65.0, 65.0):
        assert is_inside(lungs, volume, (x, 0.0, centre_lps[2]))
    assert not is_inside(lungs, volume, (0.0, 0.0, centre_lps[2]))


def test_overlapping_thin_and_uneven_voxels_change_nothing() -> None:
    for shape, spacing in (((100, 150, 150), (1.0, 2.0, 2.0)), ((24, 300, 200), (4.25, 0.977, 1.4))):
        volume = a_volume(chest_hu(), a_grid(shape, spacing))
        expected_cm3 = 2 * LUNG_CM2 * shape[0] * spacing[0] / 10.0
        assert volume_cm3(find_lungs(volume), volume) == pytest.approx(expected_cm3, rel=0.04)


def test_the_table_and_what_it_encloses_are_no_lung() -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        x, y, _ = np.moveaxis(points_lps, -1, 0)
        table = (abs(x) < 125) & (abs(y - 112) < 16)
        values[table] = 100.0
        values[table & (abs(x) < 122) & (abs(y - 112) < 13)] = -900.0  # foam, more of it than lung in one slice
        return values

    volume = a_volume(hu, a_grid((40, 160, 150), (2.5, 2.0, 2.0)))
    lungs = find_lungs(volume)
    assert volume_cm3(lungs, volume) == pytest.approx(2 * LUNG_CM2 * 10.0, rel=0.04)
    assert not is_inside(lungs, volume, (0.0, 112.0, 0.0))


def test_padding_around_the_scan_circle_is_no_lung() -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        values[np.hypot(points_lps[..., 0], points_lps[..., 1]) > 140.0] = -3024.0
        return values

    volume = a_volume(hu, a_grid((40, 150, 150), (2.5, 2.0, 2.0)))
    assert volume_cm3(find_lungs(volume), volume) == pytest.approx(2 * LUNG_CM2 * 10.0, rel=0.04)


def test_the_trachea_goes_although_it_joins_the_lungs() -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        x, y, z = np.moveaxis(points_lps, -1, 0)
        values[(np.hypot(x, y) < 9) & (z > -20)] = -1000.0
        values[(np.hypot(y, z + 20) < 6) & (abs(x) < 60)] = -1000.0  # main bronchi
        return values

    volume = a_volume(hu, a_grid((60, 150, 150), (2.5, 2.0, 2.0)))
    lungs = find_lungs(volume)
    assert not any(is_inside(lungs, volume, (0.0, 0.0, z)) for z in (0.0, 30.0, 60.0))
    assert is_inside(lungs, volume, (65.0, 0.0, 30.0))


def test_a_trachea_goes_whose_wall_is_thinner_than_a_block() -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        x, y, z = np.moveaxis(points_lps, -1, 0)
        values[(np.hypot(x - 10, y) < 9.1) & (z > -20)] = -1000.0  # the left lung begins at x = 20
        values[(np.hypot(y, z + 20) < 6) & (abs(x) < 60)] = -1000.0
        return values

    volume = a_volume(hu, a_grid((40, 320, 380), (2.5, 0.8, 0.8)))
    lungs = find_lungs(volume)
    assert not any(is_inside(lungs, volume, (10.0, 0.0, z)) for z in (0.0, 20.0, 40.0))
    assert is_inside(lungs, volume, (65.0, 0.0, 20.0))


@pytest.mark.parametrize(("clean_hu", "is_lung"), [(-1000.0, False), (-700.0, True)])
def test_a_small_island_near_the_midline_is_airway_if_some_of_it_is_clean_air(clean_hu: float, is_lung: bool) -> None:
    """Half of its slices hold 2 cm2 of nothing else, half of them none: they are judged together."""

    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        x, y, z = np.moveaxis(points_lps, -1, 0)
        island = np.hypot((x - 22) / 8, y / 12) < 1  # as the recess of a lung beside the spine, which ends at z = 0
        values[(z < 0) & (values == -850.0)] = 40.0
        values[(z < 0) & island] = -700.0
        values[(z < -20) & (np.hypot(x - 22, y) < 8)] = clean_hu
        return values

    volume = a_volume(hu, a_grid((40, 150, 150), (2.5, 2.0, 2.0)))
    lungs = find_lungs(volume)
    assert [is_inside(lungs, volume, (22.0, 0.0, z)) for z in (-15.0, -30.0, -45.0)] == [is_lung] * 3


@pytest.mark.parametrize(
    ("centre_mm", "radii_mm"),
    [(36.0, (8.0, 12.0)), (8.0, (18.0, 20.0)), (10.0, (60.0, 3.0))],
    ids=["far", "large", "long"],
)
def test_emphysema_far_from_the_midline_or_large_is_no_airway(centre_mm: float, radii_mm: tuple[float, float]) -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        x, y, z = np.moveaxis(points_lps, -1, 0)
        values[(z < 0) & (values == -850.0)] = 40.0
        values[(z < 0) & (np.hypot((x - centre_mm) / radii_mm[0], y / radii_mm[1]) < 1)] = -970.0
        return values

    volume = a_volume(hu, a_grid((40, 150, 150), (2.5, 2.0, 2.0)))
    lungs = find_lungs(volume)
    assert all(is_inside(lungs, volume, (centre_mm, 0.0, z)) for z in (-15.0, -30.0, -45.0))


def test_what_lies_between_the_lungs_stays_outside_where_they_nearly_touch() -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        x, y, _ = np.moveaxis(points_lps, -1, 0)
        values = np.where(np.hypot(x / 130, y / 95) < 1, 40.0, -1000.0)
        values[np.hypot((abs(x) - 50) / 45, y / 65) < 1] = -850.0
        return values

    volume = a_volume(hu, a_grid((40, 150, 150), (2.5, 2.0, 2.0)))
    lungs = find_lungs(volume)
    assert not any(is_inside(lungs, volume, (0.0, y, 0.0)) for y in (-10.0, 0.0, 10.0))


def test_gas_in_the_bowel_goes() -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        x, y, z = np.moveaxis(points_lps, -1, 0)
        values[(z < 0) & (values < -800) & (values > -900)] = 40.0  # belly below the lungs
        depth_mm = 25.0 - np.sqrt((x - 30) ** 2 + y**2 + (z + 50) ** 2)
        gas = depth_mm > 0
        values[gas] = np.where(depth_mm[gas] > 4.0, -1000.0, -500.0)  # 65 ml with a mixed rim
        return values

    volume = a_volume(hu, a_grid((80, 150, 150), (2.5, 2.0, 2.0)))
    lungs = find_lungs(volume)
    assert is_inside(lungs, volume, (65.0, 0.0, 50.0))
    assert not is_inside(lungs, volume, (30.0, 0.0, -50.0))


@pytest.mark.parametrize("axes", AXES)
def test_gas_in_the_colon_goes_although_a_thin_diaphragm_joins_it_to_a_lung(axes: str) -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        x, y, z = np.moveaxis(points_lps, -1, 0)
        values[(z < 0) & (values == -850.0)] = 40.0  # belly below the lungs
        from_centre_mm = np.sqrt((x - 80) ** 2 + y**2 + (z + 17) ** 2)
        values[(from_centre_mm < 17.5) & (z < 0)] = -500.0  # its wall, the diaphragm and what is mixed with them
        values[from_centre_mm < 15.0] = -1000.0
        return values

    volume = a_volume(hu, a_grid((60, 150, 150), (2.5, 2.0, 2.0), axes=axes))
    lungs = find_lungs(volume)
    assert not is_inside(lungs, volume, (80.0, 0.0, -17.0))
    assert is_inside(lungs, volume, (80.0, 0.0, 4.0))
    assert volume_cm3(lungs, volume) == pytest.approx(2 * LUNG_CM2 * 7.5, rel=0.04)


@pytest.mark.parametrize(
    "centre_lps",
    [
        (65.0, 0.0, 0.0),
        (105.0, 0.0, 0.0),
        (65.0, 0.0, 70.0),
        (65.0, 0.0, -70.0),
        (65.0, 60.0, 0.0),
        (65.0, 60.0, -70.0),
    ],
    ids=["within", "at the ribs", "at the apex", "at the base", "in a recess", "in a corner"],
)
def test_a_bulla_stays(centre_lps: Point) -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        z = points_lps[..., 2]
        values[(abs(z) > 75) & (values == -850.0)] = 40.0
        values[(np.linalg.norm(points_lps - centre_lps, axis=-1) < 24.0) & (values == -850.0)] = -1000.0
        return values

    volume = a_volume(hu, a_grid((80, 150, 150), (2.5, 2.0, 2.0)))
    lungs = find_lungs(volume)
    assert is_inside(lungs, volume, centre_lps)
    assert volume_cm3(lungs, volume) == pytest.approx(2 * LUNG_CM2 * 15.0, rel=0.04)


def test_a_bulla_that_fills_a_side_of_the_chest_stays() -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        values[(points_lps[..., 0] > 0) & (values == -850.0)] = -1000.0
        return values

    volume = a_volume(hu, a_grid((40, 150, 150), (2.5, 2.0, 2.0)))
    assert volume_cm3(find_lungs(volume), volume) == pytest.approx(2 * LUNG_CM2 * 10.0, rel=0.04)


@pytest.mark.parametrize("side", [1, -1])
def test_one_lung_is_enough_and_keeps_its_side(side: int) -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu()(points_lps)
        values[(values == -850.0) & (points_lps[..., 0] * side < 0)] = 40.0
        return values

    volume = a_volume(hu, a_grid((40, 150, 150), (2.5, 2.0, 2.0)))
    lungs = find_lungs(volume)
    assert volume_cm3(lungs, volume) == pytest.approx(LUNG_CM2 * 10.0, rel=0.04)
    assert lungs.laterality((65.0 * side, 0.0, 0.0)) == (Laterality.LEFT if side > 0 else Laterality.RIGHT)


@pytest.mark.parametrize("spacing_mm", [(2.5, 0.7, 0.7), (1.0, 0.8, 0.8), (4.25, 1.0, 1.0)])
def test_the_surface_of_the_mask_is_that_of_the_lungs_voxel_by_voxel(spacing_mm: tuple[float, float, float]) -> None:
    """Of blocks alone 1.6 to 2.7 % of it would be wrong."""
    volume = a_volume(chest_hu(), a_grid((round(60 / spacing_mm[0]), 320, 380), spacing_mm))
    assert np.array_equal(find_lungs(volume).mask_kji, volume.volume_hu == -850)


def test_each_lung_is_closed_by_a_ball_of_12_mm() -> None:
    """On voxels as large as the blocks that are closed, beside another way to compute it."""

    def hu(points_lps: FloatArray) -> FloatArray:
        values = chest_hu([Ball(centre_lps=(sign * 110.0, 0.0, 0.0), diameter_mm=30.0) for sign in (-1, 1)])(points_lps)
        x, y, z = np.moveaxis(points_lps, -1, 0)
        values[(abs(y) < 9) & (abs(x) < 60) & (abs(z) < 15)] = 40.0  # a hilum
        return values

    volume = a_volume(hu, a_grid((32, 160, 200), (2.5, 1.25, 1.25)))
    lungs = find_lungs(volume)
    middle = round(float(volume.grid.kji_from_lps((lungs.midline_mm, 0.0, 0.0))[2]))
    padded = np.pad(volume.volume_hu == -850, 20)
    expected = np.zeros_like(padded)
    for side in (slice(20 + middle), slice(20 + middle, None)):
        lung = np.zeros_like(padded)
        lung[..., side] = padded[..., side]
        dilated = ndimage.distance_transform_edt(~lung, volume.grid.spacing_mm) <= 12.0
        expected |= ndimage.distance_transform_edt(dilated, volume.grid.spacing_mm) > 12.0
    inside = expected[20:-20, 20:-20, 20:-20]
    assert inside.sum() > 1.02 * (volume.volume_hu == -850).sum()
    assert np.array_equal(lungs.mask_kji, inside)


@pytest.mark.parametrize("diameter_mm", [6.0, 12.0, 20.0])
def test_the_mask_reaches_nodules_on_the_pleura(diameter_mm: float) -> None:
    centre = (110.0 - diameter_mm / 4, 0.0, 0.0)  # the lung ends at x = 110
    volume = a_volume(chest_hu([Ball(centre_lps=centre, diameter_mm=diameter_mm)]), a_grid((30, 280, 280)))
    assert distance_mm(find_lungs(volume), volume, centre) < 2.5  # else it would be the radius, 3 mm or more


def test_a_nodule_inside_does_not_leave_a_hole() -> None:
    volume = a_volume(chest_hu([Ball(centre_lps=(65.0, 0.0, 0.0), diameter_mm=23.0)]), a_grid((30, 280, 280)))
    lungs = find_lungs(volume)
    assert all(is_inside(lungs, volume, (65.0 + x, 0.0, 0.0)) for x in (-11.0, 0.0, 11.0))


@pytest.mark.parametrize(
    ("x_mm", "side"), [(-65.0, Laterality.RIGHT), (10.0, None), (14.9, None), (15.1, Laterality.LEFT), (5.1, None)]
)
def test_left_is_where_x_grows_and_the_middle_is_undecided(x_mm: float, side: Laterality | None) -> None:
    lungs = Lungs(mask_kji=np.zeros((1, 1, 1), bool), midline_mm=10.0)
    assert lungs.laterality((x_mm, 0.0, 0.0)) is side


@pytest.mark.parametrize("hu", [-1000.0, 40.0])
def test_a_series_without_lung_is_refused(hu: float) -> None:
    with pytest.raises(LungsNotFound):
        find_lungs(a_volume(lambda points: np.full(points.shape[:-1], hu), a_grid((20, 40, 40), (2.5, 2.0, 2.0))))


def test_a_head_has_no_lungs() -> None:
    def hu(points_lps: FloatArray) -> FloatArray:
        radius = np.linalg.norm(points_lps, axis=-1)
        return np.where(radius < 15.0, -1000.0, np.where(radius < 80.0, 40.0, -1000.0))  # 14 ml of air

    with pytest.raises(LungsNotFound):
        find_lungs(a_volume(hu, a_grid((60, 100, 100), (2.5, 2.0, 2.0))))


def test_the_volume_is_not_changed() -> None:
    volume = a_volume(chest_hu(), a_grid((20, 150, 150), (2.5, 2.0, 2.0)))
    copy = dataclasses.replace(volume, volume_hu=volume.volume_hu.copy())
    first, second = find_lungs(volume), find_lungs(copy)
    assert np.array_equal(volume.volume_hu, copy.volume_hu)
    assert np.array_equal(first.mask_kji, second.mask_kji)
