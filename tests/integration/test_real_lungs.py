"""Lungs of the real CTs in the data folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.coverage import coverage_limits
from inference.eligibility.stack import sorted_stack, stack_grid
from inference.findings import Laterality
from inference.geometry import Point
from inference.lungs import Lungs, find_lungs
from inference.series import find_files, load, read_headers
from inference.volume import Volume

CT_DATA = Path(__file__).parents[2] / "../shared/data/ct"

pytestmark = pytest.mark.data


def distance_mm(lungs: Lungs, volume: Volume, point_lps: Point) -> float:
    """From a point to the nearest voxel of lung."""
    voxels_lps = volume.grid.lps_from_kji(np.argwhere(lungs.mask_kji))
    return float(np.linalg.norm(voxels_lps - point_lps, axis=1).min())


def volume_cm3(lungs: Lungs, volume: Volume) -> float:
    return float(lungs.mask_kji.sum() * volume.grid.voxel_mm3 / 1000.0)


def real_volume(name: str, series_number: int = 0) -> Volume:
    """A CT of the data folder; of several series in it the one that comes first by its UID, and so on."""
    folder = CT_DATA / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    series = sorted(read_headers(find_files(folder)), key=lambda item: item.series_instance_uid)[series_number]
    stack = sorted_stack(series.slices)
    return load(stack, stack_grid(stack))


def test_the_lungs_of_lidc_0001_hold_its_nodule_and_have_a_plausible_volume() -> None:
    volume = real_volume("LIDC-IDRI-0001")
    lungs = find_lungs(volume)
    nodule_lps = (56.2, 86.3, -115.9)  # LIDC-IDRI, see the data folder's README
    assert 3000.0 < volume_cm3(lungs, volume) < 5000.0
    assert distance_mm(lungs, volume, nodule_lps) < 5.0
    assert lungs.laterality(nodule_lps) is Laterality.LEFT


def test_a_sharp_kernel_and_a_scan_of_the_upper_chest_and_head_work_as_well() -> None:
    sharp = real_volume("C3N-00247")
    assert 3500.0 < volume_cm3(find_lungs(sharp), sharp) < 5500.0
    upper = real_volume("ACRIN-FLT-Breast_001")
    lungs = find_lungs(upper)
    assert 1000.0 < volume_cm3(lungs, upper) < 1500.0
    assert not lungs.mask_kji[40:].any()  # neck and head


@pytest.mark.parametrize(
    ("name", "series_number", "limits"),
    [
        ("LIDC-IDRI-0001", 0, []),
        ("C3N-00247", 0, []),
        ("ACRIN-FLT-Breast_001", 0, ["lungs.cut-at-base"]),  # head, neck and upper chest
        ("ACRIN-FLT-Breast_001", 1, ["lungs.cut-at-top"]),  # belly and the bases
    ],
)
def test_a_ct_that_ends_inside_the_chest_is_limited_and_no_other(
    name: str, series_number: int, limits: list[str]
) -> None:
    volume = real_volume(name, series_number)
    found = coverage_limits(find_lungs(volume).mask_kji, volume.grid)
    assert [limit.code for limit in found] == limits
