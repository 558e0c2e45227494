"""Real CTs: what is judged of them, and the same voxels in the same places as ITK reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from inference.eligibility import judge
from inference.series import SeriesHeader, find_files, load, read_headers
from inference.series.pixels import PADDING_HU
from tests.support.headers import LIMITS

CT = Path(__file__).parents[2] / "../shared/data/ct"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not CT.exists(), reason="the real CTs of ../shared/data are not here"),
]

EXPECTED = {
    "ACRIN-FLT-Breast_001": [(99, 5.0, 4.25), (99, 5.0, 4.25)],
    "C3N-00247": [(99, 3.0, 3.0)],
    "LIDC-IDRI-0001": [(133, 2.5, 2.5)],
}
"""slices, thickness and spacing in mm of each series, from the README of the data"""


def series_of(folder: str) -> tuple[SeriesHeader, ...]:
    return read_headers(find_files(CT / folder))


@pytest.mark.parametrize("folder", EXPECTED)
def test_real_series_are_told_apart_and_eligible(folder: str) -> None:
    found = []
    for series in series_of(folder):
        eligibility = judge(series, LIMITS)
        assert eligibility.reasons == ()
        assert eligibility.grid is not None
        found.append((series.slice_count, series.thickness_mm, round(eligibility.grid.spacing_mm[0], 6)))
    assert found == EXPECTED[folder]


@pytest.mark.parametrize("folder", EXPECTED)
def test_itk_reads_the_same_voxels_in_the_same_places(folder: str) -> None:
    series = series_of(folder)[0]
    eligibility = judge(series, LIMITS)
    assert eligibility.grid is not None
    volume = load(eligibility.slices, eligibility.grid)
    image = SimpleITK.ReadImage([str(item.path) for item in eligibility.slices], SimpleITK.sitkInt16)
    expected = SimpleITK.GetArrayFromImage(image)
    measured = np.ones(expected.shape, bool) if volume.padding is None else ~volume.padding
    np.testing.assert_array_equal(volume.volume_hu[measured], expected[measured])
    assert np.all(volume.volume_hu[~measured] == PADDING_HU)
    last_kji = np.subtract(volume.grid.shape_kji, 1)
    last_lps = image.TransformIndexToPhysicalPoint([int(index) for index in last_kji[::-1]])
    assert volume.grid.lps_from_kji(last_kji) == pytest.approx(last_lps, abs=0.01)


def test_the_nodule_of_lidc_idri_0001_is_where_its_readers_drew_it() -> None:
    eligibility = judge(series_of("LIDC-IDRI-0001")[0], LIMITS)
    assert eligibility.grid is not None
    volume = load(eligibility.slices, eligibility.grid)
    k, j, i = np.rint(volume.grid.kji_from_lps((56.2, 86.3, -115.9))).astype(int)
    inside_hu = volume.volume_hu[k - 1 : k + 2, j - 4 : j + 5, i - 4 : i + 5]
    assert -50 < np.median(inside_hu) < 100  # solid tissue, in a lung of about -850 HU
