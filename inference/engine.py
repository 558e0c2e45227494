"""One ONNX file as a program for this CPU, by OpenVINO; nothing else imports that.

Called from `inference.onnx` and, inside the embedded Triton, from `inference.triton.backend`: both compute alike.
OpenVINO starts with the first file, so that workers may be forked from a process that has imported this module.

What it gains over ONNX Runtime, and why the detector runs in bfloat16, is measured in `deploy/docs/performance.md`.
"""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import openvino

from inference.contract import Contract
from inference.errors import ContractInvalid, PredictorBroken
from inference.predictor import FloatTensor

Shape = tuple[int | None, ...]

MOST_SHAPES = 32
"""What a compiled model is asked in before it is compiled anew, in 0.15 s. For each shape it keeps code and memory of
its own as long as it lives, some MB, and a one-pass detector is asked in hundreds (`deploy/docs/performance.md`)."""


class Engine:
    """A model that answers batches. Threads may share it: they are answered one after another.

    The same batch has the same answer, to the last bit, on the same machine with the same number of threads.

    Parameters
    ----------
    artefact : content of an ONNX file
    threads : as many of the CPU's as it uses at a time; they are not pinned, as other work shares these cores
    is_exact : computes in float32 even where bfloat16 would do

    Raises
    ------
    ContractInvalid : it is no usable model
    """

    def __init__(self, artefact: bytes, *, threads: int = 1, is_exact: bool = True) -> None:
        try:
            self._model = _core().read_model(io.BytesIO(artefact))
        except RuntimeError as error:
            raise ContractInvalid(f"model.onnx is no usable model: {error}") from error
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "ENABLE_HYPER_THREADING": True,
            "INFERENCE_PRECISION_HINT": "bf16" if not is_exact and has_bfloat16() else "f32",
        }
        self._requests: dict[frozenset[str], _Request] = {}
        self._using = threading.Lock()

    @property
    def tensors(self) -> tuple[dict[str, Shape], dict[str, Shape]]:
        """The inputs and the outputs that the file declares: shapes by name, batch axis included, None = any length.

        Raises
        ------
        ContractInvalid : some are not float32
        """
        ports = [*self._model.inputs, *self._model.outputs]
        odd = sorted(port.any_name for port in ports if port.element_type != openvino.Type.f32)
        if odd:
            raise ContractInvalid(f"model.onnx has tensors that are not float32: {', '.join(odd)}")
        return _shapes(self._model.inputs), _shapes(self._model.outputs)

    def run(self, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]) -> dict[str, FloatTensor]:
        """Answer a batch; raises PredictorBroken. What only other outputs need is not computed."""
        try:
            with self._using:
                request = self._request(frozenset(outputs), {name: given.shape for name, given in inputs.items()})
                for port in request.model_inputs:  # inputs on which nothing depends are not among them
                    values = np.ascontiguousarray(inputs[port.any_name])
                    request.set_tensor(port.any_name, openvino.Tensor(values))
                request.infer()
                return {name: request.get_tensor(name).data.copy() for name in outputs}
        except RuntimeError as error:
            raise PredictorBroken(f"the model failed: {error}") from error

    def _request(self, wanted: frozenset[str], asked: Mapping[str, tuple[int, ...]]) -> Any:
        """What answers with these outputs; compiled on first use, and anew after too many shapes."""
        shapes = frozenset(asked.items())
        if wanted in self._requests and len(self._requests[wanted].shapes | {shapes}) > MOST_SHAPES:
            del self._requests[wanted]  # gives its memory back before the next one takes any
        if wanted not in self._requests:
            self._requests[wanted] = _Request(request=self._compiled(wanted))
        self._requests[wanted].shapes.add(shapes)
        return self._requests[wanted].request

    def _compiled(self, wanted: frozenset[str]) -> Any:
        model = self._model.clone()
        for port in model.outputs:
            if port.any_name not in wanted:
                model.remove_result(port.node)
        return _core().compile_model(model, "CPU", self._settings).create_infer_request()


@dataclass(slots=True, kw_only=True)
class _Request:
    """A compiled model, and the shapes that it was asked."""

    request: Any
    shapes: set[frozenset[tuple[str, tuple[int, ...]]]] = field(default_factory=set)


def is_exact(contract: Contract) -> bool:
    """Whether a model needs float32: all but the detectors, whose answers are averaged and are most of the work."""
    return contract.kind != "dense-detector"


def has_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16 by itself; one that only imitates it is slower than in float32."""
    return bool(_core().get_property("CPU", "INFERENCE_PRECISION_HINT") == openvino.Type.bf16)


@functools.cache
def _core() -> Any:
    return openvino.Core()


def _shapes(ports: Sequence[Any]) -> dict[str, Shape]:
    return {
        port.any_name: tuple(None if length.is_dynamic else length.get_length() for length in port.partial_shape)
        for port in ports
    }
