"""Every ground against a series has its code and its number, and nothing else is held against it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.eligibility import judge
from inference.series import Cosines
from tests.support.grounds import GROUNDS, layout, moved, turned
from tests.support.headers import LIMITS, a_header, a_slice
from tests.support.series import AXIAL, CORONAL


@pytest.mark.parametrize("case", GROUNDS)
def test_each_ground_has_its_code_and_its_number(case: str) -> None:
    code, header, number = GROUNDS[case]
    eligibility = judge(header, LIMITS)
    assert eligibility.codes == (code,)
    assert number in eligibility.reasons[0].text
    assert eligibility.grid is None
    assert eligibility.slices == ()


def test_a_slice_that_comes_twice_is_reported_with_the_gap_that_it_leaves() -> None:
    header = a_header(change={30: {"position_lps": a_slice(29).position_lps}})
    assert judge(header, LIMITS).codes == ("series.duplicate-position", "series.gap")


def test_all_slices_in_one_place_are_reported() -> None:
    header = a_header(position_lps=(0.0, 0.0, 0.0))
    codes = judge(header, LIMITS).codes
    assert codes == ("series.duplicate-position", "series.too-short")


def test_a_claim_of_more_voxels_than_memory_is_refused() -> None:
    header = a_header(slices=257, rows=2048, columns=2048, transfer_syntax_uid="1.2.840.10008.1.2.4.80")
    assert judge(header, LIMITS).codes == ("series.too-large",)


@pytest.mark.parametrize(("frames", "is_refused"), [(4000, False), (4001, True)])
def test_a_claim_of_more_frames_than_any_ct_has_is_refused(frames: int, is_refused: bool) -> None:
    header = a_header(change={7: layout(frames=frames, length=2**32)})
    assert ("series.oversized" in judge(header, LIMITS).codes) is is_refused


def test_positions_are_not_judged_where_one_is_missing() -> None:
    header = a_header(drop={30}, change={7: {"position_lps": None}})
    assert judge(header, LIMITS).codes == ("series.missing-geometry",)


def test_positions_are_not_judged_where_slices_differ() -> None:
    header = a_header(change={7: {"orientation": CORONAL, "position_lps": (0.0, -300.0, 0.0)}})
    assert judge(header, LIMITS).codes == ("series.not-axial", "series.mixed-orientation")


@pytest.mark.parametrize("orientation", [(2.0, 0, 0, 0, 1, 0), (1.0, 0, 0, 1, 0, 0), (0.0, 0, 0, 0, 0, 0)])
def test_directions_that_are_none_are_missing_geometry(orientation: Cosines) -> None:
    assert judge(a_header(orientation=orientation), LIMITS).codes == ("series.missing-geometry",)


@pytest.mark.parametrize("spacing", [(0.0, 0.7), (-0.7, 0.7)])
def test_pixels_without_extent_are_missing_geometry(spacing: tuple[float, float]) -> None:
    assert judge(a_header(change={7: {"pixel_spacing_mm": spacing}}), LIMITS).codes == (
        "series.missing-geometry",
        "series.mixed-spacing",
    )


def test_every_ground_is_reported_at_once() -> None:
    header = a_header(slices=19, modality="MR", rescale_slope=None, drop={9})
    assert judge(header, LIMITS).codes == (
        "series.not-ct",
        "series.missing-rescale",
        "series.too-few-slices",
        "series.gap",
        "series.too-short",
    )


@pytest.mark.parametrize("count", [0, 1])
def test_a_series_without_a_distance_between_slices_has_too_few(count: int) -> None:
    limits = dataclasses.replace(LIMITS, minimum_slices=1, minimum_coverage_mm=0.0)
    eligibility = judge(a_header(slices=count), limits)
    assert eligibility.codes == ("series.too-few-slices",)
    assert f"{count} slices, at least 2" in eligibility.reasons[0].text


TOLERATED = {
    "overlapping slices": a_header(spacing_mm=4.25, slice_thickness_mm=5.0),
    "the limits themselves": a_header(slices=20, spacing_mm=5.0, pixel_spacing_mm=(0.4, 1.0)),
    "a coverage of 80 mm": a_header(slices=32, spacing_mm=2.5),
    "positions rounded to 0.1 mm": a_header(
        slices=160,
        spacing_mm=0.625,
        change={k: {"position_lps": (0.0, 0.0, round(0.625 * k, 1))} for k in range(160)},
    ),
    "a thickness that varies by 0.1 mm": a_header(change={7: {"slice_thickness_mm": 2.6}}),
    "a cosine rounded in the fourth digit": a_header(
        change={7: {"orientation": (1.0, 0.0004, 0.0, -0.0004, 1.0, 0.0)}}
    ),
    "4 degrees oblique along the normal": a_header(orientation=turned(4.0, axis=0)),
    "4 degrees turned in the plane": a_header(orientation=turned(4.0, axis=2)),
    "a tilt of 0.05 degrees": a_header(gantry_tilt_deg=0.05),
    "no word about tilt": a_header(gantry_tilt_deg=None),
    "a slice 0.3 mm aside": a_header(change=moved(from_k=7, to_k=8, x=lambda _: 0.3)),
    "no rescale type": a_header(rescale_type=""),
    "an average of slices": a_header(image_type=("DERIVED", "SECONDARY", "AXIAL", "MEAN")),
    "compressed files": a_header(transfer_syntax_uid="1.2.840.10008.1.2.4.80", **layout(length=9)),
    "frames of one file": a_header(
        slices=2 * 32,
        change={k: {"path": a_slice(0).path, "frame": k + 1} | layout(frames=64, length=64 * 2**19) for k in range(64)},
    ),
}


@pytest.mark.parametrize("case", TOLERATED)
def test_what_happens_in_practice_is_eligible(case: str) -> None:
    assert judge(TOLERATED[case], LIMITS).reasons == ()


@pytest.mark.parametrize("orientation", AXIAL.values(), ids=AXIAL)
def test_the_grid_lies_where_the_slices_do_in_every_axial_orientation(orientation: Cosines) -> None:
    eligibility = judge(a_header(orientation=orientation, pixel_spacing_mm=(0.7, 0.9)), LIMITS)
    assert eligibility.grid is not None
    assert eligibility.grid.spacing_mm == pytest.approx((2.5, 0.7, 0.9))
    for k, item in enumerate(eligibility.slices):
        assert eligibility.grid.lps_from_kji((k, 0, 0)) == pytest.approx(item.position_lps)
    ahead, down, right = np.array(eligibility.grid.directions)
    assert right == pytest.approx(orientation[:3])
    assert down == pytest.approx(orientation[3:])
    assert np.cross(right, down) == pytest.approx(ahead)


def test_k_runs_from_feet_to_head_in_the_usual_slice() -> None:
    eligibility = judge(a_header(), LIMITS)
    assert eligibility.grid is not None
    assert eligibility.grid.directions[0] == (0.0, 0.0, 1.0)
    assert eligibility.grid.origin_lps == (-180.0, -170.0, -200.0)
    assert eligibility.grid.shape_kji == (60, 512, 512)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(32)), st.permutations(range(32)))
def test_neither_the_order_of_the_slices_nor_their_numbers_matter(order: list[int], numbers: list[int]) -> None:
    header = a_header(slices=32, change={k: {"instance_number": numbers[k]} for k in range(32)})
    shuffled = dataclasses.replace(header, slices=tuple(header.slices[index] for index in order))
    judged, expected = judge(shuffled, LIMITS), judge(header, LIMITS)
    assert judged == expected
    assert [item.path for item in judged.slices] == [a_slice(k).path for k in range(32)]


@pytest.mark.parametrize("case", GROUNDS)
def test_no_sentence_holds_a_uid_or_a_text_of_the_header(case: str) -> None:
    header = dataclasses.replace(GROUNDS[case][1], series_description="CANARY", study_description="CANARY")
    texts = " ".join(reason.text for reason in judge(header, LIMITS).reasons)
    assert "CANARY" not in texts
    assert not any(uid in texts for uid in ("1.2.1", "1.2.2", "1.2.3", "1.2.840"))
