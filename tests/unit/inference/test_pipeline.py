"""From a volume to findings, with a predictor that finds compact dense things."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest

from inference.contract import Contract
from inference.errors import ContractInvalid, LungsNotFound
from inference.findings import Attenuation, Laterality, ModelUse, Result
from inference.geometry import FloatArray
from inference.pipeline import Pipeline, run
from inference.search import BATCH
from inference.volume import Volume
from tests.support.predictors import DETECTION, FakePredictor, a_detector, a_head, a_slice_model, identity
from tests.support.series import Ball
from tests.support.volumes import a_grid, a_volume

# From the most to the least dense: the fake's probability grows with the contrast to lung.
BALLS = (
    Ball(centre_lps=(40.0, 0.0, 10.0), diameter_mm=12.0, hu=40.0),
    Ball(centre_lps=(-38.4, 20.3, -15.2), diameter_mm=9.0, hu=-60.0),
    Ball(centre_lps=(-40.0, -15.0, 16.6), diameter_mm=14.0, hu=-120.0),
)
SHAPE, SPACING_MM = (48, 150, 190), (1.5, 1.0, 1.0)


def a_child(balls: Sequence[Ball] = (), *, axes: str = "supine") -> Volume:
    """A body of 170 x 130 mm, endless along z, with two lungs of 50 x 84 mm in it, and balls."""

    def hu(points_lps: FloatArray) -> FloatArray:
        x, y, _ = np.moveaxis(points_lps, -1, 0)
        values = np.where(np.hypot(x / 85, y / 65) < 1, 40.0, -1000.0)
        values[np.hypot((abs(x) - 38) / 25, y / 42) < 1] = -850.0
        for ball in balls:
            values[np.linalg.norm(points_lps - ball.centre_lps, axis=-1) <= ball.diameter_mm / 2] = ball.hu
        return values

    shape = (48, 190, 150) if axes == "on the side" else SHAPE
    return a_volume(hu, a_grid(shape, SPACING_MM, axes=axes))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A chest, the models, and what came out."""

    volume: Volume
    result: Result


def a_quick_detector(stride: int = 64, operating_score: float = 0.3) -> Contract:
    """One whose windows do not overlap: an eighth of the work, and almost the same answer of the fake."""
    changes = {"stride_kji": (stride, stride, stride), "operating_score": operating_score}
    return a_detector(detection=dataclasses.replace(DETECTION, **changes))


def analysed(volume: Volume, detector: Contract | None = None, head: Contract | None = None) -> Case:
    detector = detector or a_quick_detector()
    predictor = FakePredictor(*filter(None, (detector, head)))
    return Case(volume=volume, result=run(volume, Pipeline(name="fake", detector=detector, head=head), predictor))


@pytest.fixture(scope="module")
def chest() -> Case:
    return analysed(a_child(BALLS), a_quick_detector(stride=32), a_head())


def test_every_ball_is_found_where_it_is_and_nothing_else(chest: Case) -> None:
    assert len(chest.result.findings) == 3
    for finding, ball in zip(chest.result.findings, BALLS, strict=True):
        assert math.dist(finding.centre_lps, ball.centre_lps) < 1.0


def test_findings_are_numbered_from_the_most_certain_one(chest: Case) -> None:
    scores = [finding.score for finding in chest.result.findings]
    assert [finding.number for finding in chest.result.findings] == [1, 2, 3]
    assert scores == sorted(scores, reverse=True)


def test_sizes_are_those_of_the_balls(chest: Case) -> None:
    for finding, ball in zip(chest.result.findings, BALLS, strict=True):
        assert finding.equivalent_diameter_mm == pytest.approx(ball.diameter_mm, abs=1.0)  # voxels of 1 x 1 x 1.5 mm
        assert finding.long_axis.length_mm == pytest.approx(ball.diameter_mm, abs=1.5)
        assert finding.short_axis.length_mm == pytest.approx(ball.diameter_mm, abs=1.5)
        assert finding.volume_mm3 == pytest.approx(math.pi / 6 * ball.diameter_mm**3, rel=0.25)


def test_masks_overlap_the_balls(chest: Case) -> None:
    grid = chest.volume.grid
    points = grid.lps_from_kji(np.moveaxis(np.indices(grid.shape_kji), 0, -1))
    for finding, ball in zip(chest.result.findings, BALLS, strict=True):
        truth = np.linalg.norm(points - ball.centre_lps, axis=-1) <= ball.diameter_mm / 2
        mask = np.zeros(grid.shape_kji, bool)
        start, voxels = finding.mask.start_kji, finding.mask.voxels
        mask[tuple(slice(a, a + n) for a, n in zip(start, voxels.shape, strict=True))] = voxels
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.85


def test_what_is_said_of_a_finding_is_true(chest: Case) -> None:
    first, second, third = chest.result.findings
    assert [f.laterality for f in (first, second, third)] == [Laterality.LEFT, Laterality.RIGHT, Laterality.RIGHT]
    assert first.attenuation is Attenuation.SOLID
    assert first.maximum_hu == 40.0
    assert third.maximum_hu == -120.0
    assert [f.malignancy for f in (first, second, third)] == [pytest.approx(0.25)] * 3  # 0.2 of 0.6 + 0.2


def test_a_one_pass_detector_is_asked_for_the_whole_and_finds_the_same(chest: Case) -> None:
    """The fake sees what is compact in windows of any size; what the head reads is asked for in windows as before."""
    detection = dataclasses.replace(DETECTION, operating_score=0.3, is_one_pass=True)
    detector, head = a_detector(detection=detection), a_head()
    predictor = FakePredictor(detector, head)
    result = run(chest.volume, Pipeline(name="fake", detector=detector, head=head), predictor)
    searches = [
        inputs["window"].shape
        for _, inputs, outputs in predictor.asked
        if outputs == ("probability",) and "window" in inputs
    ]
    assert len(searches) == 2 and searches[0][0] == 1 and max(searches[0]) > 64
    for finding, other in zip(result.findings, chest.result.findings, strict=True):
        assert math.dist(finding.centre_lps, other.centre_lps) < 0.5
        assert finding.volume_mm3 == pytest.approx(other.volume_mm3, rel=0.05)


def test_the_head_lowers_the_score(chest: Case) -> None:
    without = analysed(chest.volume)
    for finding, other in zip(chest.result.findings, without.result.findings, strict=True):
        assert finding.score == pytest.approx(0.8 * other.score)  # 1 - 0.2
        assert other.malignancy is None


def test_the_result_names_the_models_and_holds_the_lungs_on_the_grid_of_the_ct(chest: Case) -> None:
    assert chest.result.models == (
        ModelUse(role="detector", name="fake", version=1, sha256="f0" * 32),
        ModelUse(role="head", name="fake_head", version=4, sha256="e1" * 32),
    )
    assert chest.result.grid == chest.volume.grid
    assert chest.result.lungs.shape == chest.volume.grid.shape_kji
    assert chest.result.lungs.dtype == np.bool_


def test_a_chest_that_goes_on_beyond_the_slices_is_limited(chest: Case) -> None:
    assert [limit.code for limit in chest.result.limits] == ["lungs.cut-at-top", "lungs.cut-at-base"]


def test_twice_is_once(chest: Case) -> None:
    once, again = (analysed(chest.volume, head=a_head()).result for _ in range(2))
    for finding, other in zip(once.findings, again.findings, strict=True):
        assert np.array_equal(finding.mask.voxels, other.mask.voxels)
        assert dataclasses.replace(finding, mask=other.mask) == other
    assert np.array_equal(once.lungs, again.lungs)


@pytest.mark.parametrize("axes", ["feet first", "on the side"])
def test_the_orientation_of_the_slices_changes_nothing_in_the_patient(chest: Case, axes: str) -> None:
    turned = analysed(a_child(BALLS, axes=axes), head=a_head()).result
    assert len(turned.findings) == len(BALLS)
    for finding, other in zip(chest.result.findings, turned.findings, strict=True):
        assert math.dist(finding.centre_lps, other.centre_lps) < 0.3
        assert finding.volume_mm3 == pytest.approx(other.volume_mm3, rel=0.03)
        assert finding.laterality is other.laterality


def test_a_chest_without_nodules_has_no_findings() -> None:
    result = analysed(a_child(), head=a_head()).result
    assert result.findings == ()
    assert result.lungs.any()


def test_below_the_operating_point_nothing_is_reported(chest: Case) -> None:
    detector = a_quick_detector(operating_score=0.9)
    assert analysed(chest.volume, detector).result.findings == ()


def test_a_series_without_lungs_is_an_error_and_no_model_is_asked() -> None:
    def water(points_lps: FloatArray) -> FloatArray:
        return np.zeros(points_lps.shape[:-1])

    detector = a_detector()
    predictor = FakePredictor(detector)
    with pytest.raises(LungsNotFound):
        run(a_volume(water, a_grid((20, 60, 60))), Pipeline(name="fake", detector=detector, head=None), predictor)
    assert predictor.asked == []


def test_2_d_models_outline_and_rate_what_the_detector_found(chest: Case) -> None:
    """The fake sees a ball half way to lung where it ends: as large as it is, not as the detector's blurred answer."""
    detector, head, slices = a_quick_detector(stride=32), a_head(), a_slice_model()
    pipeline = Pipeline(name="fake", detector=detector, head=head, segmentation=(slices,), malignancy=(slices,))
    result = run(chest.volume, pipeline, FakePredictor(detector, head, slices))
    assert [finding.number for finding in result.findings] == [1, 2, 3]
    for finding, other in zip(result.findings, chest.result.findings, strict=True):
        assert (finding.score, finding.laterality) == (other.score, other.laterality)
        assert (finding.outlined_by, other.outlined_by) == ("outliner", "fake")
        assert finding.malignancy != other.malignancy
    assert [(use.role, use.name) for use in result.models] == [
        ("detector", "fake"),
        ("head", "fake_head"),
        ("segmentation", "outliner"),
        ("malignancy", "outliner"),
    ]


def test_findings_have_soft_masks_if_the_contract_says_that_the_model_is_soft(chest: Case) -> None:
    detector = a_quick_detector(stride=32)
    found = {}
    for is_soft in (False, True):
        slices = a_slice_model(is_soft=is_soft)
        pipeline = Pipeline(name="fake", detector=detector, head=None, segmentation=(slices,))
        found[is_soft] = run(chest.volume, pipeline, FakePredictor(detector, slices)).findings
    assert [finding.soft for finding in found[False]] == [None, None, None]
    for hard, finding in zip(found[False], found[True], strict=True):
        assert finding.soft is not None
        assert np.count_nonzero(finding.soft.values >= 128) == np.count_nonzero(finding.mask.voxels)
        assert np.array_equal(hard.mask.voxels, finding.mask.voxels)


def test_the_result_says_how_the_labels_of_malignancy_came_about() -> None:
    detector, head, slices = a_detector(), a_head(label_rule="median"), a_slice_model(label_rule="mean")
    pipelines = {
        "": Pipeline(name="fake", detector=detector, head=None),
        "median": Pipeline(name="fake", detector=detector, head=head, segmentation=(slices,)),
        "mean": Pipeline(name="fake", detector=detector, head=head, malignancy=(slices,)),
    }
    assert [pipeline.malignancy_labels for pipeline in pipelines.values()] == list(pipelines)


def test_a_pipeline_without_a_detector_is_refused() -> None:
    with pytest.raises(ContractInvalid):
        run(a_child(), Pipeline(name="fake", detector=a_head(), head=None), FakePredictor(a_head()))


def test_the_detector_sees_all_of_the_lungs_in_windows_of_normalised_hounsfield_units() -> None:
    detector = a_quick_detector(stride=32)
    predictor = FakePredictor(detector, probability=identity)
    volume = a_child()
    run(volume, Pipeline(name="fake", detector=detector, head=None), predictor)
    windows = np.concatenate([question["window"] for _, question, _ in predictor.asked])
    assert {len(question["window"]) for _, question, _ in predictor.asked[:-1]} == {BATCH}
    assert windows.min() == pytest.approx(-430 / 415)  # air
    assert windows.max() == pytest.approx(610 / 415)  # 40 HU
    assert {outputs for _, _, outputs in predictor.asked} == {("probability",)}


def test_progress_goes_through_the_stages_and_never_back(chest: Case) -> None:
    told: list[tuple[str, float]] = []
    detector, head = a_quick_detector(), a_head()
    pipeline = Pipeline(name="fake", detector=detector, head=head)
    run(
        chest.volume, pipeline, FakePredictor(detector, head), progress=lambda stage, share: told.append((stage, share))
    )
    assert list(dict(told)) == ["lungs", "detect", "classify", "outline", "measure"]
    for stage in ("detect", "measure"):
        shares = [share for name, share in told if name == stage]
        assert shares == sorted(shares)
        assert shares[0] == 0.0
    assert told[-1] == ("measure", 1.0)
