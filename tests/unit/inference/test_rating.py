"""Malignancy by a 2-D model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inference.findings import Candidate, CroppedMask, Outline, Proposal
from inference.geometry import FloatArray
from inference.rating import largest_slice_k, rated
from inference.volume import BoolArray, Volume
from tests.support.predictors import FakePredictor, a_slice_model
from tests.support.volumes import a_grid, a_volume

MODEL = a_slice_model()


def by_slice() -> Volume:
    """A CT in which slice k has -850 + 89 k HU, so that the fake says malignancy 0.1 k."""

    def hu(points_lps: FloatArray) -> FloatArray:
        return -850.0 + 89.0 * points_lps[..., 2]

    return a_volume(hu, a_grid((11, 70, 70), (1.0, 0.7, 0.7), centre_lps=(0.0, 0.0, 5.0)))


def an_outline(areas: list[int], start_k: int = 0) -> Outline:
    """A mask with so many voxels in the slices from `start_k` on."""
    voxels: BoolArray = np.zeros((len(areas), 3, 3), bool)
    for plane, area in zip(voxels, areas, strict=True):
        plane.flat[:area] = True
    mask = CroppedMask(start_kji=(start_k, 30, 30), voxels=voxels)
    candidate = Candidate(centre_lps=(0.0, 0.0, 5.0), diameter_mm=3.0, score=0.9)
    return Outline(
        proposal=Proposal(candidate=candidate, component=mask, centre_kji=(0.0, 0.0, 0.0), malignancy=0.99),
        mask=mask,
        model="anybody",
    )


@pytest.mark.parametrize(("areas", "k"), [([2, 5, 3], 5), ([4, 4], 4), ([1], 4), ([1, 2, 9], 6)])
def test_the_largest_slice_counts_and_of_several_the_first(areas: list[int], k: int) -> None:
    outline = an_outline(areas, start_k=4)
    assert largest_slice_k(outline.mask) == k
    (after,) = rated([outline], by_slice(), [MODEL], FakePredictor(MODEL))
    assert after.proposal.malignancy == pytest.approx(0.1 * k, abs=1e-3)


def test_only_the_malignancy_is_another_one() -> None:
    outline = an_outline([3, 4])
    (after,) = rated([outline], by_slice(), [MODEL], FakePredictor(MODEL))
    assert dataclasses.replace(after, proposal=outline.proposal) == outline
    assert dataclasses.replace(after.proposal, malignancy=0.99) == outline.proposal


def test_all_findings_are_asked_about_together() -> None:
    predictor = FakePredictor(MODEL)
    after = rated([an_outline([9], start_k=k) for k in range(10)], by_slice(), [MODEL], predictor)
    assert [outline.proposal.malignancy for outline in after] == pytest.approx(np.arange(10) / 10, abs=1e-3)
    ((_, inputs, outputs),) = predictor.asked
    assert (inputs["image"].shape, outputs) == ((10, 1, 64, 64), ("malignancy",))


def test_nothing_is_asked_about_nothing() -> None:
    predictor = FakePredictor(MODEL)
    assert rated([], by_slice(), [MODEL], predictor) == []
    assert predictor.asked == []
