"""Where a CT ends inside the lungs, and where it only ends."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inference.coverage import coverage_limits
from inference.findings import Limit
from inference.geometry import Grid
from inference.lungs import find_lungs
from inference.volume import BoolArray
from tests.support.series import chest_hu
from tests.support.volumes import AXES, a_grid, a_volume


def a_ct(axes: str = "supine") -> Grid:
    """Pixels of 2 x 2.5 mm: 200 of them are 10 cm2."""
    return a_grid((30, 40, 50), (2.5, 2.0, 2.5), axes=axes)


def lungs_with(*, first: int = 0, last: int = 0) -> BoolArray:
    """Lungs of so many pixels in the first and the last slice, and of far more between them."""
    lungs = np.zeros((30, 40, 50), bool)
    lungs[1:-1, :20, :20] = True
    lungs[0].flat[:first] = True
    lungs[-1].flat[:last] = True
    return lungs


def codes(limits: tuple[Limit, ...]) -> list[str]:
    return [limit.code for limit in limits]


def test_lungs_with_both_ends_in_the_ct_have_no_limit() -> None:
    assert coverage_limits(lungs_with(), a_ct()) == ()


def test_less_than_10_cm2_at_the_end_is_no_limit() -> None:
    assert coverage_limits(lungs_with(first=199, last=199), a_ct()) == ()


def test_lung_at_the_end_towards_the_head_is_cut_at_the_top() -> None:
    (limit,) = coverage_limits(lungs_with(last=200), a_ct())
    assert limit.code == "lungs.cut-at-top"
    assert "only part of the lungs was covered" in limit.text
    assert "nearest to the head still shows 10 cm2 of lung" in limit.text


def test_lung_at_the_end_towards_the_feet_is_cut_at_the_base() -> None:
    (limit,) = coverage_limits(lungs_with(first=800), a_ct())
    assert limit.code == "lungs.cut-at-base"
    assert "nearest to the feet still shows 40 cm2 of lung" in limit.text


@pytest.mark.parametrize("axes", AXES)
def test_top_is_where_the_head_is_in_every_orientation(axes: str) -> None:
    grid = a_ct(axes)
    last_is_top = grid.lps_from_kji((29, 0, 0))[2] > grid.lps_from_kji((0, 0, 0))[2]
    expected = "lungs.cut-at-top" if last_is_top else "lungs.cut-at-base"
    assert codes(coverage_limits(lungs_with(last=400), grid)) == [expected]


def test_both_ends_may_be_cut() -> None:
    assert codes(coverage_limits(lungs_with(first=400, last=400), a_ct())) == ["lungs.cut-at-top", "lungs.cut-at-base"]


def test_the_area_counts_and_not_the_number_of_pixels() -> None:
    fine = dataclasses.replace(a_ct(), spacing_mm=(2.5, 1.0, 1.25))
    assert coverage_limits(lungs_with(last=400), fine) == ()  # a quarter of the area: 5 cm2


@pytest.mark.parametrize("spacing_mm", [0.625, 1.0, 1.5, 2.5, 5.0])
def test_lungs_that_do_not_end_in_the_ct_are_cut_at_both_ends_whatever_the_slices_are(spacing_mm: float) -> None:
    """Lungs are found in blocks of slices; none may be forgotten at the ends. 61 slices leave a rest in every block."""
    volume = a_volume(chest_hu(), a_grid((61, 150, 150), (spacing_mm, 2.0, 2.0)))
    limits = coverage_limits(find_lungs(volume).mask_kji, volume.grid)
    assert codes(limits) == ["lungs.cut-at-top", "lungs.cut-at-base"]
