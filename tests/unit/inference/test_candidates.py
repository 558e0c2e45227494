"""From probability to candidates."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from inference.candidates import judged, propose, select
from inference.findings import Candidate, CroppedMask, Proposal
from inference.geometry import Point
from tests.support.predictors import DETECTION
from tests.support.volumes import a_grid

ANY_SIZE = dataclasses.replace(DETECTION, minimum_diameter_mm=0.0)
SHAPE = (30, 30, 30)
GRID = a_grid(SHAPE, (1.0, 1.0, 1.0))
LUNGS = np.ones(SHAPE, bool)


def probability(*boxes: tuple[tuple[slice, slice, slice], float]) -> np.ndarray:
    values = np.zeros(SHAPE, np.float32)
    for box, value in boxes:
        values[box] = value
    return values


def a_proposal(x_mm: float, score: float, diameter_mm: float = 5.0) -> Proposal:
    return Proposal(
        candidate=Candidate(centre_lps=(x_mm, 0.0, 0.0), diameter_mm=diameter_mm, score=score),
        component=CroppedMask(start_kji=(0, 0, 0), voxels=np.ones((1, 1, 1), bool)),
        centre_kji=(0.0, 0.0, x_mm),
    )


def test_a_candidate_is_a_component_with_its_centre_size_and_highest_probability() -> None:
    values = probability((np.s_[10:13, 4:7, 20:23], 0.6), (np.s_[11:12, 5:6, 21:22], 0.9))
    (proposal,) = propose(values, LUNGS, GRID, DETECTION)
    assert proposal.candidate.score == pytest.approx(0.9)
    assert proposal.candidate.diameter_mm == pytest.approx((6 * 27 / math.pi) ** (1 / 3))
    assert proposal.centre_kji == (11.0, 5.0, 21.0)
    assert proposal.candidate.centre_lps == pytest.approx(tuple(GRID.lps_from_kji((11, 5, 21))))
    assert proposal.component.start_kji == (10, 4, 20)
    assert proposal.component.voxels.shape == (3, 3, 3)
    assert proposal.component.voxels.all()


def test_voxels_that_touch_at_a_corner_belong_together() -> None:
    values = probability((np.s_[3, 3, 3], 0.8), (np.s_[4, 4, 4], 0.8), (np.s_[6, 6, 6], 0.8))
    found = propose(values, LUNGS, GRID, ANY_SIZE)
    assert [proposal.centre_kji for proposal in found] == [(3.5, 3.5, 3.5), (6.0, 6.0, 6.0)]


def test_a_voxel_counts_from_the_threshold_on() -> None:
    values = probability((np.s_[3:9, 3:9, 3:9], 0.39), (np.s_[4:8, 4:8, 4:8], 0.4), (np.s_[5, 5, 5], 0.5))
    (proposal,) = propose(values, LUNGS, GRID, DETECTION)
    assert np.count_nonzero(proposal.component.voxels) == 64


@pytest.mark.parametrize(("voxels", "kept"), [(14, 0), (15, 1)])
def test_what_is_smaller_than_a_ball_of_three_millimetres_goes(voxels: int, kept: int) -> None:
    values = probability((np.s_[5, 5, 5 : 5 + voxels], 0.8))  # a ball of 3 mm has 14.14 mm3
    assert len(propose(values, LUNGS, GRID, DETECTION)) == kept


def test_millimetres_and_not_voxels_count() -> None:
    grid = a_grid(SHAPE, (2.0, 1.0, 1.0))
    (proposal,) = propose(probability((np.s_[5, 5, 5:13], 0.8)), LUNGS, grid, DETECTION)  # 16 mm3
    assert proposal.candidate.diameter_mm == pytest.approx((6 * 16 / math.pi) ** (1 / 3))


def test_what_is_below_the_operating_score_goes() -> None:
    values = probability((np.s_[5:9, 5:9, 5:9], 0.49), (np.s_[15:19, 5:9, 5:9], 0.5))
    assert [p.centre_kji for p in propose(values, LUNGS, GRID, DETECTION)] == [(16.5, 6.5, 6.5)]


@pytest.mark.parametrize(("lung_from", "kept"), [(11, 1), (12, 0)])
def test_a_centre_may_lie_five_millimetres_outside_the_lungs(lung_from: int, kept: int) -> None:
    lungs = np.zeros(SHAPE, bool)
    lungs[:, :, lung_from:] = True
    values = probability((np.s_[5:8, 5:8, 5:8], 0.8))  # its centre is at 6
    assert len(propose(values, lungs, GRID, DETECTION)) == kept


@pytest.mark.parametrize(("lung_from", "kept"), [(20, 1), (22, 0)])
def test_a_large_one_may_lie_as_far_outside_as_its_radius(lung_from: int, kept: int) -> None:
    lungs = np.zeros(SHAPE, bool)
    lungs[:, :, lung_from:] = True
    values = probability((np.s_[2:19, 2:19, 2:19], 0.8))  # centre at 10, radius 10.5 mm
    assert len(propose(values, lungs, GRID, DETECTION)) == kept


def test_nothing_is_proposed_where_nothing_is() -> None:
    assert propose(np.zeros(SHAPE, np.float32), LUNGS, GRID, DETECTION) == []


def test_of_two_closer_than_five_millimetres_the_weaker_one_goes() -> None:
    weak, strong, apart = a_proposal(0.0, 0.7), a_proposal(4.9, 0.8), a_proposal(9.9, 0.6)
    assert select([weak, strong, apart], DETECTION) == [strong, apart]


def test_one_that_has_gone_suppresses_nothing() -> None:
    first, second, third = a_proposal(0.0, 0.9), a_proposal(4.0, 0.8), a_proposal(8.0, 0.7)
    assert select([third, second, first], DETECTION) == [first, third]


def test_equal_scores_are_ordered_by_size_and_then_by_place() -> None:
    small, large, later = a_proposal(0.0, 0.8, 5.0), a_proposal(20.0, 0.8, 6.0), a_proposal(40.0, 0.8, 5.0)
    assert select([later, small, large], DETECTION) == [large, small, later]
    assert select([small, large, later], DETECTION) == [large, small, later]


def test_the_head_lowers_the_score_and_may_drop_the_candidate() -> None:
    proposal = judged(a_proposal(0.0, 0.8), nodule=0.75, malignancy=0.3)
    assert proposal.candidate.score == pytest.approx(0.6)
    assert proposal.malignancy == 0.3
    assert select([proposal, judged(a_proposal(50.0, 0.9), nodule=0.5, malignancy=0.9)], DETECTION) == [proposal]


def test_the_place_is_that_of_the_patient() -> None:
    grid = a_grid(SHAPE, (1.0, 1.0, 1.0), axes="feet first", centre_lps=(14.5, 14.5, 14.5))
    (proposal,) = propose(probability((np.s_[2:5, 3:6, 4:7], 0.8)), LUNGS, grid, DETECTION)
    expected: Point = (29.0 - 5.0, 4.0, 29.0 - 3.0)  # i and k run against x and z
    assert proposal.candidate.centre_lps == pytest.approx(expected)
