"""From a CT to the field that windows are cut from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.contract import COARSEST, Contract
from inference.errors import ContractInvalid, LungsNotFound
from inference.geometry import FloatArray
from inference.preprocess import MARGIN_MM, field_grid, normalise, prepare
from inference.volume import BoolArray, Volume
from tests.support.predictors import DETECTION, INTENSITY, a_detector, a_head
from tests.support.volumes import AXES, a_grid, a_volume


def slope_hu(points_lps: FloatArray) -> FloatArray:
    return np.asarray(points_lps @ [2.0, -3.0, 1.0] - 300.0)


def lungs_in(volume: Volume, start: tuple[int, int, int], stop: tuple[int, int, int]) -> BoolArray:
    mask = np.zeros(volume.grid.shape_kji, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def test_hounsfield_units_are_clipped_and_standardised() -> None:
    values = np.array([-2000.0, -1000.0, -570.0, -155.0, 400.0, 3000.0], np.float32)
    normalise(values, INTENSITY)  # (hu + 570) / 415 between -1000 and 400
    assert values == pytest.approx([-430 / 415, -430 / 415, 0.0, 1.0, 970 / 415, 970 / 415])


@pytest.mark.parametrize("axes", AXES)
def test_every_voxel_of_the_field_has_the_value_of_its_place_in_the_patient(axes: str) -> None:
    volume = a_volume(slope_hu, a_grid((40, 120, 130), (2.5, 0.7, 0.8), axes=axes, centre_lps=(8.0, -3.0, 20.0)))
    field = prepare(volume, lungs_in(volume, (10, 30, 40), (30, 80, 90)), a_detector())
    points = field.grid.lps_from_kji(np.moveaxis(np.indices(field.grid.shape_kji), 0, -1))
    expected = (np.clip(slope_hu(points), -1000, 400) + 570) / 415
    assert field.values_kji.dtype == np.float32
    assert np.abs(field.values_kji - expected).max() < 1.0 / 415  # stored HU are whole numbers
    assert field.grid.spacing_mm == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("axes", AXES)
def test_the_lungs_lie_at_the_same_place_on_both_grids(axes: str) -> None:
    volume = a_volume(slope_hu, a_grid((40, 120, 130), (2.0, 0.5, 0.5), axes=axes))
    lungs = lungs_in(volume, (10, 30, 40), (30, 80, 90))
    field = prepare(volume, lungs, a_detector())
    before, after = (
        grid.lps_from_kji(np.argwhere(mask)) for grid, mask in ((volume.grid, lungs), (field.grid, field.lungs_kji))
    )
    assert np.abs(before.mean(axis=0) - after.mean(axis=0)).max() <= 0.5
    assert field.lungs_kji.sum() == pytest.approx(lungs.sum() * volume.grid.voxel_mm3, rel=0.06)


def test_the_field_is_one_window_and_whole_strides_long_and_holds_the_lungs_with_a_margin() -> None:
    volume = a_volume(slope_hu, a_grid((60, 200, 200), (2.5, 1.0, 1.0)))
    lungs = lungs_in(volume, (10, 40, 80), (50, 160, 110))  # 97.5 + 16, 119 + 16 and 29 + 16 mm
    grid = field_grid(volume.grid, lungs, a_detector())
    assert grid.shape_kji == (64 + 2 * 32, 64 + 3 * 32, 64)
    corners = grid.kji_from_lps(volume.grid.lps_from_kji([(10, 40, 80), (49, 159, 109)]))
    assert corners.min() >= MARGIN_MM - 1e-6
    assert (corners[1] + MARGIN_MM <= np.array(grid.shape_kji) - 1 + 1e-6).all()


def test_the_field_of_a_one_pass_detector_is_whole_cells_long_and_no_longer_than_the_lungs_need() -> None:
    volume = a_volume(slope_hu, a_grid((60, 200, 200), (2.5, 1.0, 1.0)))
    lungs = lungs_in(volume, (10, 40, 80), (50, 160, 110))
    detection = replace(DETECTION, is_one_pass=True)
    grid = field_grid(volume.grid, lungs, a_detector(detection=detection))
    assert grid.shape_kji == (64 + 4 * COARSEST, 64 + 5 * COARSEST, 64)
    corners = grid.kji_from_lps(volume.grid.lps_from_kji([(10, 40, 80), (49, 159, 109)]))
    assert corners.min() >= MARGIN_MM - 1e-6
    assert (corners[1] + MARGIN_MM <= np.array(grid.shape_kji) - 1 + 1e-6).all()


def test_the_field_stays_inside_the_ct_where_the_ct_is_large_enough() -> None:
    volume = a_volume(slope_hu, a_grid((80, 100, 100), (1.0, 1.0, 1.0)))
    lungs = lungs_in(volume, (0, 90, 40), (10, 100, 60))
    grid = field_grid(volume.grid, lungs, a_detector())
    corners = volume.grid.kji_from_lps(grid.lps_from_kji([(0, 0, 0), (63, 63, 63)]))
    assert corners.min() >= -1e-9
    assert (corners[1] <= [79, 99, 99]).all()


def test_beyond_a_small_ct_its_border_goes_on_and_there_is_no_lung() -> None:
    volume = a_volume(slope_hu, a_grid((22, 100, 100), (1.0, 1.0, 1.0)))
    field = prepare(volume, lungs_in(volume, (0, 40, 40), (22, 60, 60)), a_detector())
    assert np.flatnonzero(field.lungs_kji.any(axis=(1, 2))).tolist() == list(range(21, 43))
    assert np.array_equal(field.values_kji[0], field.values_kji[21])
    assert not np.array_equal(field.values_kji[21], field.values_kji[22])


def test_an_empty_mask_is_refused() -> None:
    volume = a_volume(slope_hu, a_grid((4, 5, 6)))
    with pytest.raises(LungsNotFound):
        prepare(volume, np.zeros((4, 5, 6), bool), a_detector())


@pytest.mark.parametrize("contract", [a_head(), a_detector(spacing_mm=None), a_detector(detection=None)])
def test_what_is_no_detector_is_refused(contract: Contract) -> None:
    volume = a_volume(slope_hu, a_grid((4, 5, 6)))
    with pytest.raises(ContractInvalid):
        prepare(volume, np.ones((4, 5, 6), bool), contract)
