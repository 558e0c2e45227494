"""Images around a candidate, and their pixels back on the CT."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inference.contract import RoiSlices
from inference.errors import ContractInvalid
from inference.findings import CroppedMask
from inference.geometry import FloatArray, Grid
from inference.roi import Roi, images_hu, images_of, roi_around, values_on_ct
from inference.volume import Volume
from tests.support.predictors import a_slice_model
from tests.support.volumes import AXES, a_grid, a_volume

RESAMPLED = RoiSlices(size_ji=(32, 48), pixel_spacing_mm=0.7, margin_mm=0.0, threshold=0.5)
OWN_PIXELS = dataclasses.replace(RESAMPLED, pixel_spacing_mm=None)
ANISOTROPIC = (2.5, 0.55, 0.9)
CENTRE = (3.3, -2.1, 4.0)


def slope(points_lps: FloatArray) -> FloatArray:
    """20 HU for each mm to the left, 30 HU for each mm to the back, 40 HU for each mm to the head."""
    return points_lps @ np.array([20.0, 30.0, 40.0])


def a_slope(axes: str = "supine") -> Volume:
    return a_volume(slope, a_grid((12, 90, 80), ANISOTROPIC, axes=axes))


def pixels_lps(roi: Roi, ct: Grid) -> FloatArray:
    """Centres of the pixels of an image of the first slice; shape (j, i, 3)."""
    rows = roi.first_ji[0] + roi.step_ji[0] * np.arange(roi.size_ji[0])
    columns = roi.first_ji[1] + roi.step_ji[1] * np.arange(roi.size_ji[1])
    j, i = np.meshgrid(rows, columns, indexing="ij")
    return ct.lps_from_kji(np.stack([np.full_like(j, roi.slices_k[0]), j, i], axis=-1))


@pytest.mark.parametrize("axes", AXES)
def test_pixels_lie_at_their_distance_around_the_candidate(axes: str) -> None:
    ct = a_grid((12, 90, 80), ANISOTROPIC, axes=axes)
    roi = roi_around(CENTRE, (7, 9), ct, RESAMPLED)
    points = pixels_lps(roi, ct)
    assert np.linalg.norm(points[1, 0] - points[0, 0]) == pytest.approx(0.7)
    assert np.linalg.norm(points[0, 1] - points[0, 0]) == pytest.approx(0.7)
    assert np.asarray(ct.directions[1:]) @ (points[16, 24] - CENTRE) == pytest.approx([0.0, 0.0], abs=1e-9)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("images", [RESAMPLED, OWN_PIXELS], ids=["resampled", "own pixels"])
def test_a_pixel_is_what_the_ct_is_at_its_place(axes: str, images: RoiSlices) -> None:
    volume = a_slope(axes)
    roi = roi_around(CENTRE, (7, 9), volume.grid, images)
    seen = images_hu(roi, volume.volume_hu)
    assert seen.shape == (2, 32, 48)
    assert seen.dtype == np.float32
    assert np.abs(seen[0] - slope(pixels_lps(roi, volume.grid))).max() <= 0.5  # the CT is rounded to whole HU


def test_slices_are_those_of_the_ct_and_not_interpolated() -> None:
    volume = a_slope()
    seen = images_hu(roi_around(CENTRE, (7, 9), volume.grid, OWN_PIXELS), volume.volume_hu)
    assert seen[1] - seen[0] == pytest.approx(np.full((32, 48), 2.5 * 40.0), abs=1.0)


def test_own_pixels_are_cut_out_around_the_nearest_one() -> None:
    volume = a_slope()
    roi = roi_around(CENTRE, (3, 4), volume.grid, OWN_PIXELS)
    _, j, i = volume.grid.kji_from_lps(CENTRE)
    assert np.array_equal(
        images_hu(roi, volume.volume_hu)[0],
        volume.volume_hu[3, round(j) - 16 : round(j) + 16, round(i) - 24 : round(i) + 24],
    )


def test_beyond_the_ct_its_outermost_pixels_go_on() -> None:
    volume = a_slope()
    corner = volume.grid.lps_from_kji((0, 0, 0))
    seen = images_hu(roi_around((corner[0], corner[1], corner[2]), (0, 1), volume.grid, OWN_PIXELS), volume.volume_hu)
    assert (seen[0, :16, :24] == volume.volume_hu[0, 0, 0]).all()
    assert np.array_equal(seen[0, 16:, 24:], volume.volume_hu[0, :16, :24])


def test_own_pixels_come_back_where_they_were() -> None:
    volume = a_slope("columns flipped")
    roi = roi_around(CENTRE, (2, 5), volume.grid, OWN_PIXELS)
    (k, j, i), values = values_on_ct(roi, images_hu(roi, volume.volume_hu), volume.grid)
    assert values.shape == (3, 32, 48)
    assert np.array_equal(values, volume.volume_hu[k : k + 3, j : j + 32, i : i + 48])


@pytest.mark.parametrize("axes", AXES)
def test_resampled_pixels_come_back_where_they_were(axes: str) -> None:
    volume = a_slope(axes)
    roi = roi_around(CENTRE, (2, 5), volume.grid, RESAMPLED)
    (k, j, i), values = values_on_ct(roi, images_hu(roi, volume.volume_hu), volume.grid)
    truth = volume.volume_hu[k : k + 3, j : j + values.shape[1], i : i + values.shape[2]]
    assert np.abs(values - truth)[:, 1:-1, 1:-1].max() <= 1.0  # rounded twice
    assert np.ptp(values[0]) > 500.0


@pytest.mark.parametrize(("images", "rows", "columns"), [(OWN_PIXELS, 17, 25), (RESAMPLED, 21, 20)])
def test_at_the_corner_only_voxels_of_the_ct_come_back(images: RoiSlices, rows: int, columns: int) -> None:
    """16.5 and 24.5 pixels up to the edge of the image: 11.55 mm of 0.56 mm and 17.15 mm of 0.9 mm, and the voxel."""
    ct = a_grid((12, 90, 80), (2.5, 0.56, 0.9))
    x, y, z = ct.lps_from_kji((11, 89, 79))
    roi = roi_around((x, y, z), (11, 12), ct, images)
    (k, j, i), values = values_on_ct(roi, np.zeros((1, 32, 48), np.float32), ct)
    assert (k + values.shape[0], j + values.shape[1], i + values.shape[2]) == ct.shape_kji
    assert values.shape[1:] == (rows, columns)


def test_a_candidate_outside_the_ct_is_seen_from_its_nearest_pixel() -> None:
    ct = a_grid((12, 90, 80), ANISOTROPIC)
    x, y, z = ct.lps_from_kji((5, -9, 40))
    assert roi_around((x, y, z), (5, 6), ct, RESAMPLED) == roi_around(
        tuple(ct.lps_from_kji((5, 0, 40)).tolist()), (5, 6), ct, RESAMPLED
    )


@pytest.mark.parametrize(("rows", "is_held"), [(32, True), (33, False)])
def test_a_mask_is_held_if_no_voxel_of_it_lies_outside_the_images(rows: int, is_held: bool) -> None:
    ct = a_grid((12, 90, 80), ANISOTROPIC)
    roi = roi_around((0.0, 0.0, 0.0), (5, 6), ct, OWN_PIXELS)
    (first_j, _), (first_i, _) = roi.covered_ji(ct)
    mask = CroppedMask(start_kji=(5, first_j, first_i), voxels=np.ones((1, rows, 4), bool))
    assert roi.holds(mask, ct) is is_held


def test_a_contract_without_images_is_refused() -> None:
    with pytest.raises(ContractInvalid):
        images_of(a_slice_model(roi=None))
