"""A model in this process answers as the contract says, or says why not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from inference.contract import TensorSpec
from inference.errors import (
    ContractInvalid,
    InferenceError,
    InputRefused,
    ModelNotFound,
    ModelOutputInvalid,
    PredictorBroken,
)
from inference.onnx import OnnxPredictor
from inference.predictor import FloatTensor
from inference.registry import ModelRepository
from tests.support.models import a_contract, a_member, a_repository, doubler

X = np.arange(12, dtype=np.float32).reshape(2, 2, 3)


@pytest.fixture
def models(tmp_path: Path) -> ModelRepository:
    return a_repository(tmp_path / "models")


def test_it_answers_with_the_outputs_asked_for(models: ModelRepository) -> None:
    predictor = OnnxPredictor(models)
    both = predictor.infer("doubler", 1, {"x": X}, ["half", "double"])
    np.testing.assert_array_equal(both["double"], 2 * X)
    np.testing.assert_array_equal(both["half"], X / 2)
    assert set(predictor.infer("doubler", 1, {"x": X}, ["half"])) == {"half"}


def test_its_tensors_are_read_only_like_those_that_come_over_the_network(models: ModelRepository) -> None:
    answer = OnnxPredictor(models).infer("doubler", 1, {"x": X}, ["half"])
    with pytest.raises(ValueError, match="read-only"):
        answer["half"][0] = 1


def test_it_runs_the_version_that_it_is_asked_for(models: ModelRepository) -> None:
    models.publish(a_member(doubler(3.0)))
    predictor = OnnxPredictor(models)
    for version, factor in ((1, 2.0), (2, 3.0), (1, 2.0)):
        answer = predictor.infer("doubler", version, {"x": X}, ["double"])
        np.testing.assert_array_equal(answer["double"], factor * X)


def test_many_threads_may_ask_at_once(models: ModelRepository) -> None:
    predictor = OnnxPredictor(models, threads=2)

    def ask(number: int) -> FloatTensor:
        return predictor.infer("doubler", 1, {"x": X + number}, ["double"])["double"]

    with ThreadPoolExecutor(8) as pool:
        for number, answer in enumerate(pool.map(ask, range(64))):
            np.testing.assert_array_equal(answer, 2 * (X + number))


@pytest.mark.parametrize(
    ("model", "version", "inputs", "outputs", "kind"),
    [
        ("absent", 1, {"x": X}, ["double"], ModelNotFound),
        ("doubler", 7, {"x": X}, ["double"], ModelNotFound),
        ("doubler", 1, {"y": X}, ["double"], InputRefused),
        ("doubler", 1, {"x": X[:, :1]}, ["double"], InputRefused),
        ("doubler", 1, {"x": X}, ["triple"], InputRefused),
        ("logarithm", 1, {"x": np.full((1, 2), -2, np.float32)}, ["y"], ModelOutputInvalid),
        ("logarithm", 1, {"x": np.full((1, 2), -1, np.float32)}, ["y"], ModelOutputInvalid),
    ],
)
def test_what_cannot_be_answered_has_its_error(
    models: ModelRepository,
    model: str,
    version: int,
    inputs: dict[str, FloatTensor],
    outputs: Sequence[str],
    kind: type[InferenceError],
) -> None:
    with pytest.raises(kind):
        OnnxPredictor(models).infer(model, version, inputs, outputs)


def test_a_file_that_was_changed_is_not_run(models: ModelRepository) -> None:
    (models.path / "doubler/1/model.onnx").write_bytes(doubler(3.0))
    with pytest.raises(ContractInvalid, match="is not the one of its contract"):
        OnnxPredictor(models).infer("doubler", 1, {"x": X}, ["double"])


@pytest.mark.parametrize("content", [b"", b"no model", doubler()[:-40]])
def test_a_file_that_is_no_model_is_refused(models: ModelRepository, content: bytes) -> None:
    models.publish(a_member(content))
    with pytest.raises(ContractInvalid, match="no usable model"):
        OnnxPredictor(models).infer("doubler", 2, {"x": X}, ["double"])


def test_a_model_that_does_not_keep_its_contract_is_broken(models: ModelRepository) -> None:
    wider = dataclasses.replace(a_contract(), inputs=(TensorSpec(name="x", shape=(2, 4)),))
    models.publish(a_member(doubler(), wider))
    with pytest.raises(PredictorBroken, match="doubler version 2 failed"):
        OnnxPredictor(models).infer("doubler", 2, {"x": np.zeros((1, 2, 4), np.float32)}, ["double"])
