"""A Triton that searches a CT by itself: the CT crosses the wire once, and the findings are those of the windows."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import search
from inference.contract import Contract
from inference.errors import InferenceError, InputRefused, ModelOutputInvalid, PredictorBroken, PredictorUnavailable
from inference.findings import Result
from inference.intensity import hu_of, normalise
from inference.lungs import find_lungs
from inference.onnx import OnnxPredictor
from inference.pipeline import Pipeline, run
from inference.predictor import FloatTensor, Predictor
from inference.preprocess import prepare
from inference.registry import ModelRepository
from inference.tiling import window_starts
from inference.triton import Retries, TritonPredictor, client
from inference.triton.wheel import find_wheel, lay_out_backends
from inference.volume import HuArray, Volume
from pacs_node.demo.pacs import free_port
from pacs_node.steps.analyse import loaded
from pacs_node.steps.offline import pipeline_named
from tests.support.detectors import ball_repository
from tests.support.nodes import eventually
from tests.support.series import Ball, a_chest_series

pytestmark = pytest.mark.triton

ROOT = Path(__file__).parents[2]
HALF = 1e-3
"""Of a probability, as float16."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelRepository:
    return ModelRepository(ball_repository(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def url(models: ModelRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the wheel that was set up as deploy/triton/README.md says."""
    try:
        wheel = find_wheel()
    except PredictorUnavailable as reason:
        pytest.skip(str(reason))
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    lay_out_backends(wheel, folder / "backends")
    shutil.copytree(ROOT / "deploy/triton/pulmonode_search", folder / "search/pulmonode_search")
    (folder / "search/pulmonode_search/1").mkdir()
    shutil.copy(ROOT / "inference/triton/backend/search.py", folder / "search/pulmonode_search/1/model.py")
    flags = [
        f"--model-repository={models.path}",
        f"--model-repository={folder / 'search'}",
        f"--backend-directory={folder / 'backends'}",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--strict-readiness=false",
        "--allow-http=false",
        "--allow-metrics=false",
        f"--grpc-port={port}",
    ]
    with (folder / "log").open("wb") as log:
        command = [str(wheel.server), *flags]
        server = subprocess.Popen(command, env=wheel.environment(), stdout=log, stderr=subprocess.STDOUT)
    try:
        with_search = TritonPredictor(f"127.0.0.1:{port}", models, retries=Retries(attempts=1))
        eventually(lambda: _answers(with_search), timeout_s=90)
        with_search.close()
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _answers(predictor: TritonPredictor) -> bool:
    try:
        predictor.canary("jnsc", 1)
        predictor.canary("jnsc_head", 1)
        predictor._client.get_model_config("pulmonode_search")
    except Exception:  # noqa: BLE001 - not yet
        return False
    return True


class Watched(TritonPredictor):
    """Counts the windows that cross the wire."""

    windows = 0

    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        self.windows += list(outputs) == ["probability"] and model == "jnsc"
        return super().infer(model, version, inputs, outputs)


@pytest.fixture
def server(url: str, models: ModelRepository) -> Iterator[Watched]:
    predictor = Watched(url, models)
    yield predictor
    predictor.close()


@pytest.fixture(scope="module")
def pipeline(models: ModelRepository) -> Pipeline:
    return pipeline_named(models, "jnsc")


@pytest.fixture(scope="module")
def volume(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Volume:
    balls = [Ball(centre_lps=(70, 0, 0), diameter_mm=14), Ball(centre_lps=(-60, 20, 30), diameter_mm=9)]
    paths = a_chest_series(tmp_path_factory.mktemp("ct"), slices=30, spacing_mm=5.0, balls=balls)
    return loaded(paths, pipeline.detector)[1]


def _question(volume: Volume, detector: Contract) -> tuple[HuArray, tuple[tuple[int, int, int], ...]]:
    field = prepare(volume, find_lungs(volume).mask_kji, detector)
    assert detector.detection is not None
    assert detector.intensity is not None
    starts = window_starts(field.lungs_kji, detector.detection.roi_kji, detector.detection.stride_kji)
    return hu_of(field.values_kji, detector.intensity), starts


def test_the_server_finds_what_the_windows_find(
    server: Watched, models: ModelRepository, pipeline: Pipeline, volume: Volume
) -> None:
    volume_hu, starts = _question(volume, pipeline.detector)
    found = server.search(pipeline.detector, volume_hu, starts)
    values = volume_hu.astype(np.float32)
    assert pipeline.detector.detection is not None
    assert pipeline.detector.intensity is not None
    normalise(values, pipeline.detector.intensity)
    here = OnnxPredictor(models)

    def ask(windows: FloatTensor) -> FloatTensor:
        return here.infer("jnsc", 1, {pipeline.detector.inputs[0].name: windows}, ["probability"])["probability"][:, 0]

    expected = search.probability(values, starts, pipeline.detector.detection, ask, lambda share: None, batch=16)
    assert found is not None
    assert found.max() > 0.9
    np.testing.assert_allclose(found, expected, atol=HALF)


def test_no_window_crosses_the_wire_and_the_findings_are_the_same(
    server: Watched, models: ModelRepository, pipeline: Pipeline, volume: Volume
) -> None:
    results = [_found(volume, pipeline, predictor) for predictor in (server, OnnxPredictor(models))]
    assert server.windows == 0
    assert len(results[0].findings) == len(results[1].findings) == 2
    for one, other in zip(*(result.findings for result in results), strict=True):
        np.testing.assert_allclose(one.centre_lps, other.centre_lps, atol=0.1)
        assert one.score == pytest.approx(other.score, abs=HALF)
        assert one.volume_mm3 == pytest.approx(other.volume_mm3, rel=0.02)


def _found(volume: Volume, pipeline: Pipeline, predictor: Predictor) -> Result:
    return run(volume, pipeline, predictor)


def test_whole_hu_are_what_the_values_were_made_from(pipeline: Pipeline, volume: Volume) -> None:
    assert pipeline.detector.intensity is not None
    volume_hu, _ = _question(volume, pipeline.detector)
    lowest, highest = pipeline.detector.intensity.window_hu
    again = volume_hu.astype(np.float32)
    normalise(again, pipeline.detector.intensity)
    np.testing.assert_array_equal(hu_of(again, pipeline.detector.intensity), volume_hu)
    assert lowest <= volume_hu.min() < volume_hu.max() <= highest


def test_a_search_that_fails_says_so(server: Watched, pipeline: Pipeline, volume: Volume) -> None:
    question = _question(volume, pipeline.detector)
    blind = dataclasses.replace(pipeline.detector, detection=None)
    with pytest.raises(InferenceError, match="search failed"):
        server.search(blind, *question)
    assert server.search(pipeline.detector, *question) is not None


def test_an_answer_to_another_question_is_not_believed(
    server: Watched, pipeline: Pipeline, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    question, asked, replies = _question(volume, pipeline.detector), server._client.infer, []

    def late(*arguments: Any, **options: Any) -> Any:
        replies.append(asked(*arguments, **options))
        return replies[0]

    monkeypatch.setattr(server._client, "infer", late)
    assert server.search(pipeline.detector, *question) is not None
    with pytest.raises(PredictorBroken, match="another question"):
        server.search(pipeline.detector, *question)


def test_a_ct_that_is_too_large_for_a_message_is_refused(server: Watched, pipeline: Pipeline) -> None:
    huge = np.broadcast_to(np.int16(0), (1000, 1000, 1000))
    with pytest.raises(InputRefused, match=r"2\.0 GB"):
        server.search(pipeline.detector, huge, [(0, 0, 0)])


@pytest.mark.parametrize("value", [-0.5, 1.5, np.nan])
def test_what_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(ModelOutputInvalid):
        client._probability(np.full((2, 2, 2), value, np.float16), (2, 2, 2))
    with pytest.raises(ModelOutputInvalid):
        client._probability(np.zeros((2, 2, 3), np.float16), (2, 2, 2))
