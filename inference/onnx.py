"""ONNX Runtime in this process, on the same model repository that Triton serves.

For `pulmonode series analyse`, for `triton.mode = "onnx"`, and for tests. Nothing else imports onnxruntime.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    RuntimeException,
)
from onnxruntime.capi.onnxruntime_pybind11_state import (
    NotImplemented as NotSupported,
)

from inference.errors import ContractInvalid, PredictorBroken
from inference.predictor import FloatTensor, check_answer, check_request
from inference.registry import ModelRepository

Shape = tuple[int | None, ...]

_UNUSABLE = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotSupported, RuntimeException)


class OnnxPredictor:
    """A `Predictor` without a server. May be used by several threads at once."""

    def __init__(self, models: ModelRepository, *, threads: int = 1) -> None:
        self._models = models
        self._threads = threads
        self._sessions: dict[tuple[str, int], onnxruntime.InferenceSession] = {}
        self._loading = threading.Lock()

    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        """Run a batch, as `Predictor.infer` says; the model is loaded on first use, and its hash checked."""
        contract = self._models.contract(model, version)
        batch = check_request(contract, inputs, outputs)
        session = self._session(model, version)
        try:
            answer = dict(zip(outputs, session.run(list(outputs), dict(inputs)), strict=True))
        except (Fail, InvalidArgument, RuntimeException) as error:
            raise PredictorBroken(f"{model} version {version} failed: {error}") from error
        for tensor in answer.values():
            tensor.setflags(write=False)  # as they come from Triton
        check_answer(contract, batch, outputs, answer)
        return answer

    def _session(self, model: str, version: int) -> onnxruntime.InferenceSession:
        with self._loading:
            if (model, version) not in self._sessions:
                self._sessions[model, version] = self._loaded(model, version)
            return self._sessions[model, version]

    def _loaded(self, model: str, version: int) -> onnxruntime.InferenceSession:
        try:
            return _session(self._models.artefact(model, version), self._threads)
        except _UNUSABLE as error:
            raise ContractInvalid(f"the file of {model} version {version} is no usable model: {error}") from error


def tensors_of(artefact: bytes) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """The inputs and the outputs that a file itself declares: shapes by name, batch axis included, None = any length.

    Raises
    ------
    ContractInvalid : it is no usable model, or has tensors that are not float32
    """
    try:
        session = _session(artefact, threads=1)
    except _UNUSABLE as error:
        raise ContractInvalid(f"model.onnx is no usable model: {error}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    odd = sorted(tensor.name for tensor in [*inputs, *outputs] if tensor.type != "tensor(float)")
    if odd:
        raise ContractInvalid(f"model.onnx has tensors that are not float32: {', '.join(odd)}")
    return _shapes(inputs), _shapes(outputs)


def _shapes(tensors: Sequence[Any]) -> dict[str, Shape]:
    return {
        tensor.name: tuple(length if isinstance(length, int) else None for length in tensor.shape) for tensor in tensors
    }


def _session(artefact: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other work shares these cores
    return onnxruntime.InferenceSession(artefact, options, providers=["CPUExecutionProvider"])
