"""Masks by a 2-D model that marks what is dense."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.contract import Contract, Feed, TensorSpec
from inference.findings import Candidate, CroppedMask, Outline, Proposal
from inference.geometry import FloatArray, Grid, Point, Shape, Spacing
from inference.outline import redrawn
from inference.predictor import FloatTensor
from inference.slices import BATCH
from inference.volume import BoolArray, Volume
from tests.support.predictors import FakePredictor, Inputs, a_slice_model, dense
from tests.support.volumes import AXES, a_grid, a_volume

OWN_PIXELS = dataclasses.replace(a_slice_model().roi, pixel_spacing_mm=None)  # type: ignore[type-var]
IMAGES = {"resampled": a_slice_model(), "own pixels": a_slice_model(roi=OWN_PIXELS)}
SHAPE, ANISOTROPIC = (24, 90, 80), (2.0, 0.6, 0.8)


def balls(*centres_lps: Point, radius_mm: float = 6.0, grid: Grid | None = None) -> Volume:
    """Soft tissue (40 HU) in lung (-850 HU), as a scanner would show it: the surface is half way, over a voxel."""

    def hu(points_lps: FloatArray) -> FloatArray:
        distance_mm = np.min([np.linalg.norm(points_lps - centre, axis=-1) for centre in centres_lps], axis=0)
        return -850.0 + 890.0 * np.clip(radius_mm - distance_mm + 0.5, 0.0, 1.0)

    return a_volume(hu, grid or a_grid(SHAPE, ANISOTROPIC))


def proposed(centre_lps: Point, volume: Volume, edge_mm: float = 4.0, score: float = 0.9) -> Outline:
    """A box around a point, which the detector marked, cut to the CT."""
    grid = volume.grid
    half = np.ceil(edge_mm / 2 / np.asarray(grid.spacing_mm))
    centre = grid.kji_from_lps(centre_lps)
    start = np.clip(np.rint(centre - half), 0, np.subtract(grid.shape_kji, 1)).astype(int)
    stop = np.clip(np.rint(centre + half), start, np.subtract(grid.shape_kji, 1)).astype(int) + 1
    mask = CroppedMask(start_kji=shape(start), voxels=np.ones(stop - start, bool))
    candidate = Candidate(centre_lps=centre_lps, diameter_mm=edge_mm, score=score)
    component = CroppedMask(start_kji=(0, 0, 0), voxels=np.ones((1, 1, 1), bool))  # on the detector's grid: not used
    return Outline(
        proposal=Proposal(candidate=candidate, component=component, centre_kji=(0.0, 0.0, 0.0)),
        mask=mask,
        model="detector",
    )


def shape(values: Any) -> Shape:
    k, j, i = (int(value) for value in values)
    return k, j, i


def outlined(volume: Volume, *own: Outline, model: Contract | None = None, **fake: Any) -> list[Outline]:
    contract = model or a_slice_model()
    return redrawn(own, volume, [contract], FakePredictor(contract, **fake))


def full(outline: Outline, grid: Grid) -> BoolArray:
    mask = np.zeros(grid.shape_kji, bool)
    mask[outline.mask.box] = outline.mask.voxels
    return mask


def points(grid: Grid) -> FloatArray:
    return grid.lps_from_kji(np.moveaxis(np.indices(grid.shape_kji), 0, -1))


def inside(volume: Volume, centre_lps: Point, radius_mm: float = 6.0) -> BoolArray:
    return np.asarray(np.linalg.norm(points(volume.grid) - centre_lps, axis=-1) <= radius_mm)


def dice(first: BoolArray, second: BoolArray) -> float:
    return float(2.0 * (first & second).sum() / (first.sum() + second.sum()))


def nothing(model: str, inputs: Inputs, output: str) -> FloatTensor:
    return np.zeros_like(inputs["image"])


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("model", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("spacing_mm", [ANISOTROPIC, (1.0, 0.9, 0.5)])
def test_the_mask_of_a_ball_is_the_ball_on_any_grid(axes: str, model: Contract, spacing_mm: Spacing) -> None:
    centre = (1.2, -2.3, 3.1)
    volume = balls(centre, grid=a_grid((30, 90, 100), spacing_mm, axes=axes, centre_lps=(0.3, -0.2, 0.4)))
    (outline,) = outlined(volume, proposed(centre, volume), model=model)
    assert outline.model == "outliner"
    assert dice(full(outline, volume.grid), inside(volume, centre)) > 0.97


@pytest.fixture(scope="module")
def ball() -> tuple[Volume, Outline]:
    """A CT with one ball, and the ball as it is outlined from its centre."""
    volume = balls((0.0, 0.0, 0.0))
    (outline,) = outlined(volume, proposed((0.0, 0.0, 0.0), volume), model=IMAGES["own pixels"])
    return volume, outline


@settings(max_examples=10, deadline=None)
@given(centre=st.tuples(*[st.floats(-2.5, 2.5)] * 3))
def test_a_candidate_that_is_a_little_off_gets_the_same_mask(ball: tuple[Volume, Outline], centre: Point) -> None:
    volume, centred = ball
    own = proposed(centre, volume, edge_mm=9.0)
    (off,), (resampled,) = (outlined(volume, own, model=model) for model in (IMAGES["own pixels"], IMAGES["resampled"]))
    assert centred.mask.start_kji == off.mask.start_kji
    assert np.array_equal(centred.mask.voxels, off.mask.voxels)
    assert dice(full(resampled, volume.grid), full(centred, volume.grid)) > 0.97


def test_what_else_is_dense_nearby_is_not_in_the_mask() -> None:
    volume = balls((0.0, 0.0, 0.0), (14.0, 0.0, 0.0))
    (outline,) = outlined(volume, proposed((0.0, 0.0, 0.0), volume))
    assert dice(full(outline, volume.grid), inside(volume, (0.0, 0.0, 0.0))) > 0.97


def test_of_two_pieces_that_the_detector_marked_together_the_one_at_the_centre_stays() -> None:
    volume = balls((-7.0, 0.0, 0.0), (7.0, 0.0, 0.0), radius_mm=5.0)
    (outline,) = outlined(volume, proposed((6.0, 0.0, 0.0), volume, edge_mm=30.0))
    assert dice(full(outline, volume.grid), inside(volume, (7.0, 0.0, 0.0), 5.0)) > 0.97


def test_two_candidates_in_one_nodule_are_one_finding() -> None:
    volume = balls((0.0, 0.0, 0.0), radius_mm=8.0)
    first, second = proposed((-3.0, 0.0, 0.0), volume), proposed((3.0, 0.0, 0.0), volume, score=0.8)
    (outline,) = outlined(volume, first, second)
    assert outline.proposal is first.proposal


def test_no_voxel_is_in_two_masks() -> None:
    """Each model's image of a candidate of its own marks a disc of 12 mm; the two discs share 4 mm."""

    def disc(model: str, inputs: Inputs, output: str) -> FloatTensor:
        j, i = np.mgrid[-32:32, -32:32] * 0.7
        return np.where(np.hypot(j, i) <= 6.0, 1.0, 0.0)[None, None] * np.ones_like(inputs["image"])

    volume = balls((0.0, 0.0, 0.0))
    own = [proposed((-4.0, 0.0, 0.0), volume), proposed((4.0, 0.0, 0.0), volume, score=0.8)]
    first, second = (full(outline, volume.grid) for outline in outlined(volume, *own, slices=disc))
    assert not (first & second).any()
    alone = full(outlined(volume, own[1], slices=disc)[0], volume.grid)
    assert np.array_equal(second, alone & ~first)
    assert first.sum() > second.sum() > 0.5 * alone.sum()


def test_a_candidate_of_which_others_leave_nothing_is_left_out() -> None:
    """The second one's centre is free, as it has none of its own voxels there."""
    volume = balls((0.0, 0.0, 0.0))
    second = proposed((0.0, 0.0, 0.0), volume, edge_mm=2.0, score=0.8)
    aside = dataclasses.replace(second.proposal.candidate, centre_lps=(20.0, 0.0, 0.0))
    second = dataclasses.replace(second, proposal=dataclasses.replace(second.proposal, candidate=aside))
    assert len(outlined(volume, proposed((0.0, 0.0, 0.0), volume), second)) == 1


@pytest.mark.parametrize("centre_kji", [(0, 45, 40), (23, 45, 40), (12, 0, 40), (12, 45, 79)])
def test_a_nodule_at_the_border_of_the_volume_is_cut_there(centre_kji: Shape) -> None:
    grid = a_grid(SHAPE, ANISOTROPIC)
    x, y, z = grid.lps_from_kji(centre_kji).tolist()
    volume = balls((x, y, z), grid=grid)
    (outline,) = outlined(volume, proposed((x, y, z), volume))
    assert dice(full(outline, grid), inside(volume, (x, y, z))) > 0.95


def marking_elsewhere(model: str, inputs: Inputs, output: str) -> FloatTensor:
    marked = np.zeros_like(inputs["image"])
    marked[..., 2:6, 2:6] = 1.0
    return marked


@pytest.mark.parametrize("slices", [nothing, marking_elsewhere])
def test_where_the_model_marks_nothing_the_mask_of_the_detector_stays_and_says_so(slices: Any) -> None:
    volume = balls((0.0, 0.0, 0.0))
    own = proposed((0.0, 0.0, 0.0), volume)
    (outline,) = outlined(volume, own, slices=slices)
    assert outline.model == "detector"
    assert outline.mask.start_kji == own.mask.start_kji
    assert np.array_equal(outline.mask.voxels, own.mask.voxels)


def test_what_is_larger_than_the_images_keeps_the_mask_of_the_detector() -> None:
    grid = a_grid((24, 120, 120), (2.0, 0.6, 0.6))
    volume = balls((0.0, 0.0, 0.0), radius_mm=20.0, grid=grid)
    own = proposed((0.0, 0.0, 0.0), volume, edge_mm=46.0)  # the images show 44.8 mm
    (outline,) = outlined(volume, own)
    assert outline.model == "detector"


def test_the_threshold_is_that_of_the_contract() -> None:
    volume = balls((0.0, 0.0, 0.0))
    areas = []
    for threshold in (0.1, 0.9):
        roi = dataclasses.replace(OWN_PIXELS, threshold=threshold)
        (outline,) = outlined(volume, proposed((0.0, 0.0, 0.0), volume), model=a_slice_model(roi=roi))
        areas.append(int(outline.mask.voxels.sum()))
        marked = volume.volume_hu + 850.0 >= threshold * 890.0
        assert areas[-1] == int(marked.sum())
    assert areas[0] > areas[1]


def test_the_slices_are_those_of_the_detector_and_of_the_margin() -> None:
    volume = balls((0.0, 0.0, 0.0))
    own = proposed((0.0, 0.0, 0.0), volume)
    model = a_slice_model()
    predictor = FakePredictor(model)
    redrawn([own], volume, [model], predictor)
    ((_, inputs, _),) = predictor.asked
    assert len(inputs["image"]) == own.mask.voxels.shape[0] + 2 * 2  # 5 mm of 2 mm slices, on both sides


def test_images_of_many_candidates_are_asked_together() -> None:
    centres: Sequence[Point] = [(x, y, 0.0) for x in (-18.0, 0.0, 18.0) for y in (-14.0, 0.0, 14.0)]
    volume = balls(*centres, radius_mm=3.0)
    model = a_slice_model()
    predictor = FakePredictor(model)
    outlines = redrawn([proposed(centre, volume) for centre in centres], volume, [model], predictor)
    assert len(outlines) == len(centres)
    sizes = [len(inputs["image"]) for _, inputs, _ in predictor.asked]
    assert sizes[:-1] == [BATCH] * (len(sizes) - 1)
    assert sum(sizes) == 9 * 7


def test_a_model_that_is_fed_gets_the_answer_of_the_other_one() -> None:
    coarse = a_slice_model(model="coarse", roles=())
    fine = a_slice_model(
        model="fine",
        inputs=(TensorSpec(name="image", shape=(1, 64, 64)), TensorSpec(name="coarse", shape=(1, 64, 64))),
        feeds=(Feed(input="coarse", model="coarse", output="probability"),),
    )

    def seen(model: str, inputs: Inputs, output: str) -> FloatTensor:
        return dense(model, inputs, output) if model == "coarse" else inputs["coarse"]

    volume = balls((0.0, 0.0, 0.0))
    (outline,) = redrawn(
        [proposed((0.0, 0.0, 0.0), volume)], volume, [coarse, fine], FakePredictor(coarse, fine, slices=seen)
    )
    assert outline.model == "fine"
    assert dice(full(outline, volume.grid), inside(volume, (0.0, 0.0, 0.0))) > 0.97


def test_nothing_is_asked_about_nothing() -> None:
    predictor = FakePredictor(a_slice_model())
    assert redrawn([], balls((0.0, 0.0, 0.0)), [a_slice_model()], predictor) == []
    assert predictor.asked == []


SOFT = a_slice_model(roi=OWN_PIXELS, is_soft=True)


def test_a_soft_model_adds_how_much_of_each_voxel_is_nodule_and_draws_the_same_mask() -> None:
    """The ball's surface takes up a voxel, of which the fake model sees the share that is dense."""
    volume = balls((0.3, -0.2, 0.4), (14.0, 0.0, 0.0), radius_mm=5.0)
    own = proposed((0.0, 0.0, 0.0), volume)
    (hard,) = outlined(volume, own, model=IMAGES["own pixels"])
    (soft,) = outlined(volume, own, model=SOFT)
    assert np.array_equal(hard.mask.voxels, soft.mask.voxels)
    assert (hard.soft, hard.mask.start_kji) == (None, soft.mask.start_kji)
    assert soft.soft is not None
    values = np.zeros(SHAPE, int)
    values[soft.soft.box] = soft.soft.values
    expected = np.rint(255.0 * (volume.volume_hu + 850.0) / 890.0)
    near = np.linalg.norm(points(volume.grid) - (0.3, -0.2, 0.4), axis=-1) < 7.0
    assert np.abs(values - expected)[near].max() <= 1
    assert len(np.unique(values[near])) > 20
    assert not values[~near].any()


def test_half_and_more_of_a_soft_mask_is_the_mask() -> None:
    volume = balls((0.0, 0.0, 0.0), (11.0, 0.0, 0.0), radius_mm=5.0)
    own = [proposed((0.0, 0.0, 0.0), volume), proposed((11.0, 0.0, 0.0), volume, score=0.8)]
    found = outlined(volume, *own, model=SOFT)
    assert len(found) == 2
    for outline in found:
        assert outline.soft is not None
        half = np.zeros(SHAPE, bool)
        half[outline.soft.box] = outline.soft.values >= 128
        assert np.array_equal(half, full(outline, volume.grid))


def test_the_mask_of_the_detector_has_no_soft_mask() -> None:
    volume = balls((0.0, 0.0, 0.0))
    (outline,) = outlined(volume, proposed((0.0, 0.0, 0.0), volume), model=SOFT, slices=nothing)
    assert (outline.model, outline.soft) == ("detector", None)
