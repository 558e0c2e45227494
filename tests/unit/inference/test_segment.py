"""Masks on the CT's own grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from inference.candidates import propose
from inference.contract import Detection
from inference.findings import Candidate, CroppedMask, Proposal
from inference.geometry import FloatArray, Grid, Point
from inference.predictor import FloatTensor
from inference.segment import mask_on_ct, piece_at, segment, soft_mask
from inference.volume import BoolArray
from tests.support.volumes import AXES, a_grid

THRESHOLD = 0.4
EVERYTHING = Detection(
    roi_kji=(64, 64, 64),
    stride_kji=(32, 32, 32),
    threshold=THRESHOLD,
    nms_mm=0.0,
    minimum_diameter_mm=0.0,
    operating_score=0.0,
)


def points(grid: Grid) -> FloatArray:
    return grid.lps_from_kji(np.moveaxis(np.indices(grid.shape_kji), 0, -1))


def ball(grid: Grid, centre_lps: Point, radius_mm: float) -> FloatTensor:
    """A probability that falls through the threshold at the surface of a ball."""
    distance_mm = np.linalg.norm(points(grid) - centre_lps, axis=-1)
    return np.clip(THRESHOLD + (radius_mm - distance_mm) / 8.0, 0.0, 1.0).astype(np.float32)


def proposals(probability: FloatTensor, grid: Grid) -> list[Proposal]:
    return propose(probability, np.ones(grid.shape_kji, bool), grid, EVERYTHING)


def full(mask: CroppedMask, ct: Grid) -> BoolArray:
    result = np.zeros(ct.shape_kji, bool)
    result[tuple(slice(a, a + n) for a, n in zip(mask.start_kji, mask.voxels.shape, strict=True))] = mask.voxels
    return result


def dice(first: BoolArray, second: BoolArray) -> float:
    return float(2.0 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("spacing_mm", [(2.5, 0.7, 0.7), (0.6, 0.5, 0.9), (1.0, 1.0, 1.0)])
def test_the_mask_of_a_ball_is_the_ball_on_any_grid(axes: str, spacing_mm: tuple[float, float, float]) -> None:
    grid = a_grid((40, 40, 40), (1.0, 1.0, 1.0), axes=axes)
    counts = [int(50.0 / mm) for mm in spacing_mm]
    ct = a_grid((counts[0], counts[1], counts[2]), spacing_mm, axes=axes, centre_lps=(0.3, -0.2, 0.4))
    centre, radius_mm = (1.2, -2.3, 3.1), 6.0
    probability = ball(grid, centre, radius_mm)
    (proposal,) = proposals(probability, grid)
    mask = full(mask_on_ct(proposal, probability, grid, ct, THRESHOLD), ct)
    truth = np.linalg.norm(points(ct) - centre, axis=-1) <= radius_mm
    assert dice(mask, truth) > 0.97
    assert mask.sum() * ct.voxel_mm3 == pytest.approx(4 / 3 * np.pi * 6.0**3, rel=0.06)


def test_the_box_touches_the_mask_on_all_six_faces() -> None:
    grid = a_grid((40, 40, 40), (1.0, 1.0, 1.0))
    probability = ball(grid, (0.0, 0.0, 0.0), 5.0)
    mask = mask_on_ct(proposals(probability, grid)[0], probability, grid, a_grid((60, 60, 60), (0.8, 0.8, 0.8)), 0.4)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        assert mask.voxels.any(axis=others)[[0, -1]].all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spacing=st.tuples(*[st.floats(0.4, 3.0)] * 3), share=st.floats(0.02, 0.3))
def test_no_voxel_is_in_two_masks_and_no_mask_is_empty(
    seed: int, spacing: tuple[float, float, float], share: float
) -> None:
    rng = np.random.default_rng(seed)
    grid = a_grid((12, 12, 12), (1.0, 1.0, 1.0))
    counts = [max(1, int(12.0 / mm)) for mm in spacing]
    ct = a_grid((counts[0], counts[1], counts[2]), spacing, centre_lps=(0.2, 0.1, -0.3))
    values = rng.random(grid.shape_kji) * np.where(rng.random(grid.shape_kji) < share, 1.0, 0.39)
    probability = values.astype(np.float32)
    outlined = segment(proposals(probability, grid), probability, grid, ct, THRESHOLD)
    total = sum(full(mask, ct).astype(int) for _, mask in outlined)
    assert np.max(total, initial=0) <= 1
    assert all(mask.voxels.any() for _, mask in outlined)


def test_masks_of_neighbours_are_disjoint_by_themselves() -> None:
    grid, ct = a_grid((9, 9, 9), (1.0, 1.0, 1.0)), a_grid((30, 30, 30), (0.3, 0.3, 0.3))
    probability = np.full(grid.shape_kji, 0.39, np.float32)
    probability[3:6, 3:6, 1:4] = probability[3:6, 3:6, 5:8] = 1.0  # one voxel apart
    first, second = (full(mask_on_ct(p, probability, grid, ct, 0.4), ct) for p in proposals(probability, grid))
    assert first.any()
    assert second.any()
    assert not (first & second).any()


def test_what_lies_between_two_slices_becomes_the_voxel_nearest_to_its_centre() -> None:
    grid, ct = a_grid((21, 9, 9), (1.0, 1.0, 1.0)), a_grid((3, 9, 9), (7.0, 1.0, 1.0))
    probability = np.zeros(grid.shape_kji, np.float32)
    probability[13, 4, 2] = 0.9  # 3 mm above the middle slice of the CT, 4 mm below the next one
    (proposal,) = proposals(probability, grid)
    mask = mask_on_ct(proposal, probability, grid, ct, THRESHOLD)
    assert (mask.start_kji, mask.voxels.tolist()) == ((1, 4, 2), [[[True]]])


def test_a_component_beyond_the_ct_takes_the_nearest_voxel_of_it() -> None:
    grid, ct = a_grid((21, 9, 9), (1.0, 1.0, 1.0)), a_grid((5, 9, 9), (1.0, 1.0, 1.0))
    probability = np.zeros(grid.shape_kji, np.float32)
    probability[18, 4, 2] = 0.9
    mask = mask_on_ct(proposals(probability, grid)[0], probability, grid, ct, THRESHOLD)
    assert (mask.start_kji, mask.voxels.tolist()) == ((4, 4, 2), [[[True]]])


def test_of_two_pieces_the_one_at_the_centre_stays() -> None:
    grid = a_grid((9, 9, 20), (1.0, 1.0, 1.0))
    ct = a_grid((9, 9, 20), (1.0, 1.0, 1.0), centre_lps=(0.0, 0.5, 0.5))  # half a voxel off: thin links break
    probability = np.zeros(grid.shape_kji, np.float32)
    probability[2:7, 2:7, 2:9] = 0.9
    probability[4, 4, 9:15] = 0.41
    probability[3:6, 3:6, 15:18] = 0.9
    (proposal,) = proposals(probability, grid)
    mask = mask_on_ct(proposal, probability, grid, ct, THRESHOLD)
    assert mask.start_kji[2] == 2
    assert mask.voxels.shape[2] <= 8


def test_one_whose_voxels_are_taken_is_left_out() -> None:
    grid, ct = a_grid((21, 9, 9), (1.0, 1.0, 1.0)), a_grid((3, 9, 9), (7.0, 1.0, 1.0))
    probability = np.zeros(grid.shape_kji, np.float32)
    probability[[7, 13], 4, 4] = 0.9  # both nearest to the same voxel of the middle slice
    first, second = proposals(probability, grid)
    assert [proposal for proposal, _ in segment([second, first], probability, grid, ct, THRESHOLD)] == [second]


def test_probability_beside_the_component_does_not_leak_in() -> None:
    grid = a_grid((5, 5, 12), (1.0, 1.0, 1.0))
    probability = np.zeros(grid.shape_kji, np.float32)
    probability[2, 2, 2:4] = 0.9
    probability[2, 2, 6:9] = 0.9
    own = Proposal(
        candidate=Candidate(centre_lps=(-3.0, 0.0, 0.0), diameter_mm=1.5, score=0.9),
        component=CroppedMask(start_kji=(2, 2, 2), voxels=np.ones((1, 1, 2), bool)),
        centre_kji=(2.0, 2.0, 2.5),
    )
    mask = mask_on_ct(own, probability, grid, grid, THRESHOLD)
    assert (mask.start_kji, mask.voxels.shape) == ((2, 2, 2), (1, 1, 2))


def a_row(*values: float) -> tuple[FloatTensor, Grid]:
    """Values of voxels of 1 mm, one beside the other, which begin at voxel (3, 5, 7) of a CT."""
    return np.array(values, np.float32)[None, None], a_grid((10, 20, 30), (1.0, 1.0, 1.0))


def own(first: int, count: int) -> CroppedMask:
    """A mask of some voxels of the row."""
    return CroppedMask(start_kji=(3, 5, 7 + first), voxels=np.ones((1, 1, count), bool))


def test_a_soft_mask_holds_the_mask_and_its_edge_up_to_where_another_thing_is_nearer() -> None:
    """255 x 0.1, 0.4, 0.6, 0.8, 0.2 are 25.5 (in single precision a little more), 102, 153, 204, 51; 0 cuts it off."""
    values, ct = a_row(0.0, 0.1, 0.4, 0.6, 0.8, 0.2, 0.3, 0.7, 0.4)
    soft = soft_mask(values, (3, 5, 7), own(3, 2), ct, 0.5)
    assert soft.start_kji == (3, 5, 8)
    assert soft.values.dtype == np.uint8
    assert soft.values.tolist() == [[[26, 102, 153, 204, 51]]]


def test_an_edge_that_is_as_near_to_another_thing_belongs_to_both() -> None:
    values, ct = a_row(0.6, 0.2, 0.7)
    assert soft_mask(values, (3, 5, 7), own(0, 1), ct, 0.5).values.tolist() == [[[153, 51]]]
    assert soft_mask(values, (3, 5, 7), own(2, 1), ct, 0.5).values.tolist() == [[[51, 178]]]


def test_what_does_not_hang_together_with_the_mask_is_not_in_its_soft_mask() -> None:
    values, ct = a_row(0.6, 0.2, 0.0, 0.4)
    assert soft_mask(values, (3, 5, 7), own(0, 1), ct, 0.5).values.tolist() == [[[153, 51]]]


def test_half_of_a_voxel_is_128_and_anything_less_is_not() -> None:
    below = float(np.nextafter(np.float32(0.5), np.float32(0.0)))
    values, ct = a_row(below, 0.5, 1.0)
    assert soft_mask(values, (3, 5, 7), own(1, 2), ct, 0.5).values.tolist() == [[[127, 128, 255]]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_half_and_more_of_a_soft_mask_is_the_mask_for_any_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.random((6, 9, 9)), 1.0)
    values = ((values - values.min()) / np.ptp(values)).astype(np.float32)
    ct = a_grid((12, 20, 30), (2.0, 0.7, 0.7))
    mask = piece_at(values >= 0.5, (3, 5, 7), rng.random(3) * values.shape, ct)
    soft = soft_mask(values, (3, 5, 7), mask, ct, 0.5)
    half, whole = np.zeros(ct.shape_kji, bool), np.zeros(ct.shape_kji, bool)
    half[soft.box], whole[mask.box] = soft.values >= 128, mask.voxels
    assert (half == whole).all()
