"""Every system that is shipped, over a phantom and over a real CT that no training has seen.

Detection is the same in every pipeline, so its answers are remembered from the first one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from inference.findings import CroppedMask, Finding, Result
from inference.geometry import Grid, Point
from inference.onnx import OnnxPredictor
from inference.pipeline import Pipeline
from inference.predictor import FloatTensor, Predictor
from inference.registry import ModelRepository
from inference.series import find_files
from inference.volume import BoolArray
from pacs_node import report
from pacs_node.config import Report
from pacs_node.domain.document import SrClass
from pacs_node.domain.shipment import DEFAULT_PROFILE, shipment
from pacs_node.steps.analyse import analysed
from pacs_node.steps.compose import Composition, composed
from pacs_node.steps.offline import pipeline_named
from tests.support.lidc import consensus
from training.data import phantom
from training.data.phantom import dicomise

ROOT = Path(__file__).parents[2]
MODELS = ModelRepository(ROOT / "model_repository")
SYSTEMS = ("jnsc", "hr_mpf", "mt_net", "detection_guided", "dsnet")
SOFT = ("dsnet",)
"""Those that say how much of each voxel is nodule."""

CT = ROOT / "../shared/data/ct/LIDC-IDRI-0001"
NODULE_LPS, NODULE_MM = (56.2, 86.3, -115.9), 23.4
"""Of the real nodule, from the list of LUNA16."""
PHANTOM_SEED = 10_002
LEAST_DICE = 0.6
MOST_FALSE_FINDINGS = 8

pytestmark = pytest.mark.slow


class Remembering:
    """Asks a predictor what it has not been asked before."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._known: dict[tuple[object, ...], dict[str, FloatTensor]] = {}

    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        """As `Predictor.infer` says."""
        digests = [(name, hashlib.sha256(tensor.tobytes()).digest()) for name, tensor in sorted(inputs.items())]
        key = (model, version, *digests, *outputs)
        if key not in self._known:
            self._known[key] = self._predictor.infer(model, version, inputs, outputs)
        return self._known[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A CT on disk with one nodule that has to be found; `mask` is its true one, on the grid of the CT."""

    paths: tuple[Path, ...]
    centre_lps: Point
    diameter_mm: float
    mask: CroppedMask | None
    predictor: Predictor

    def truth(self, grid: Grid) -> BoolArray:
        """The true mask: what was drawn, or what most readers drew."""
        return consensus("LIDC-IDRI-0001", grid) if self.mask is None else whole(self.mask, grid)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A phantom with the shape of a nodule that was not trained on."""
    made = phantom.make(PHANTOM_SEED, phantom.SMALL)
    (nodule,) = made.nodules
    return Scene(
        paths=tuple(dicomise.write(made, tmp_path_factory.mktemp("phantom"))),
        centre_lps=nodule.centre_lps,
        diameter_mm=nodule.diameter_mm,
        mask=nodule.mask,
        predictor=Remembering(OnnxPredictor(MODELS, threads=2)),
    )


@pytest.fixture(scope="module")
def real() -> Scene:
    """The CT of the demo."""
    return Scene(
        paths=tuple(find_files(CT)),
        centre_lps=NODULE_LPS,
        diameter_mm=NODULE_MM,
        mask=None,
        predictor=Remembering(OnnxPredictor(MODELS, threads=2)),
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_answers_for_a_phantom(synthetic: Scene, system: str) -> None:
    assert_answered(synthetic, pipeline_named(MODELS, system))


@pytest.mark.data
@pytest.mark.skipif(not CT.exists(), reason="the real CT of ../shared/data is not on this machine")
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_answers_for_a_real_ct(real: Scene, system: str) -> None:
    assert_answered(real, pipeline_named(MODELS, system))


@pytest.mark.data
@pytest.mark.skipif(not CT.exists(), reason="the real CT of ../shared/data is not on this machine")
def test_few_other_places_are_reported_in_a_real_ct(real: Scene) -> None:
    result = analysed(real.paths, pipeline_named(MODELS, "jnsc"), real.predictor)
    false = [f for f in result.findings if math.dist(f.centre_lps, real.centre_lps) > real.diameter_mm / 2]
    assert len(false) <= MOST_FALSE_FINDINGS


def assert_answered(scene: Scene, pipeline: Pipeline) -> None:
    """The nodule is found, outlined and rated by the models of the pipeline, and the result passes the own check."""
    result = analysed(scene.paths, pipeline, scene.predictor)
    finding = min(result.findings, key=lambda f: math.dist(f.centre_lps, scene.centre_lps))
    assert math.dist(finding.centre_lps, scene.centre_lps) < scene.diameter_mm / 2
    assert overlap(finding, scene, result.grid) >= LEAST_DICE
    assert finding.outlined_by == (pipeline.detector, *pipeline.segmentation)[-1].model
    assert finding.malignancy is not None
    assert 0.0 <= finding.malignancy <= 1.0
    assert (finding.soft is not None) == (pipeline.name in SOFT)
    assert_half_of_a_soft_mask_is_the_mask(result)
    documents = composed(
        composition(scene, pipeline, result), shipment(DEFAULT_PROFILE, SrClass.COMPREHENSIVE_3D, ()).parts
    )
    assert [document.role for document in documents] == ["seg", "sr"]
    said = documents[-1].content
    for use in pipeline.uses:
        assert f"{use.name} version {use.version} ({use.role}), SHA-256 {use.sha256}".encode() in said


def assert_half_of_a_soft_mask_is_the_mask(result: Result) -> None:
    """Of every finding that has one; and it has an edge of less."""
    for finding in result.findings:
        if finding.soft is not None:
            values = np.zeros(result.grid.shape_kji, np.uint8)
            values[finding.soft.box] = finding.soft.values
            assert np.array_equal(values >= 128, whole(finding.mask, result.grid))
            assert ((values > 0) & (values < 128)).any()


def composition(scene: Scene, pipeline: Pipeline, result: Result) -> Composition:
    """What the node composes a result of."""
    identity = report.ResultIdentity(
        study_instance_uid="1.2",
        series_instance_uid="1.3",
        pipeline=pipeline.name,
        models=result.models,
        input_digest="",
    )
    return Composition(
        paths=scene.paths,
        result=result,
        reasons=(),
        identity=identity,
        detector=pipeline.detector,
        options=Report(),
        station="PULMONODE",
        composed_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def overlap(finding: Finding, scene: Scene, grid: Grid) -> float:
    """Dice of the mask of a finding and the true one."""
    mask, truth = whole(finding.mask, grid), scene.truth(grid)
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


def whole(mask: CroppedMask, grid: Grid) -> BoolArray:
    """A mask on the whole grid."""
    voxels = np.zeros(grid.shape_kji, bool)
    voxels[mask.box] = mask.voxels
    return voxels
