"""The search for nodules beside the detector: a CT comes in once, as int16, and its probability goes out, as float16.

What is computed is `inference.search`, as in the node; the detector is asked inside the server, so its questions, which
are several times larger, never cross the wire. It is the `model.py` of `deploy/triton/pulmonode_search`: Triton's stub
process runs it with `inference` on its path, nobody imports it.
The answer repeats the number of its question: a late one may be taken for that to the next (`inference.triton.client`).
Tensors move by DLPack only: under NumPy 2 the stub's own `as_numpy` gives wrong data without saying so.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from inference.contract import Contract
from inference.intensity import normalise
from inference.predictor import FloatTensor
from inference.search import probability

_set_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
_set_destructor.argtypes = [ctypes.py_object, ctypes.c_void_p]


class TritonPythonModel:
    """Searches one CT after the other."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read how many windows make a question."""
        self._batch = int(json.loads(args["model_config"])["parameters"]["batch"]["string_value"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request; one that fails does not fail the others."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            contract = Contract.from_json(json.loads(request.parameters())["contract"])
            inputs = {tensor.name(): np.from_dlpack(tensor) for tensor in request.inputs()}
            values = inputs["hu"].astype(np.float32)
            starts = [(int(k), int(j), int(i)) for k, j, i in inputs["starts"]]
            assert contract.intensity is not None
            assert contract.detection is not None
            normalise(values, contract.intensity)
            found = probability(
                values,
                starts,
                contract.detection,
                lambda windows: _asked(contract, windows),
                lambda share: _see_that_it_is_wanted(request),
                batch=self._batch,
            )
        except Exception as error:  # noqa: BLE001 - the border: whatever it is, it is the answer to this request only
            return triton.InferenceResponse(error=triton.TritonError(f"the search failed: {error}"))
        answer = {"probability": found.astype(np.float16), "question": np.array(inputs["question"])}
        return triton.InferenceResponse([_tensor(name, values) for name, values in answer.items()])


def _asked(contract: Contract, windows: FloatTensor) -> FloatTensor:
    """The detector's answer to windows, shape (B, 1, k, j, i): probabilities, shape (B, k, j, i)."""
    name = contract.outputs[0].name
    request = triton.InferenceRequest(
        model_name=contract.model,
        model_version=contract.version,
        requested_output_names=[name],
        inputs=[_tensor(contract.inputs[0].name, np.ascontiguousarray(windows))],
    )
    answer = request.exec()
    if answer.has_error():
        raise RuntimeError(answer.error().message())
    output = triton.get_output_tensor_by_name(answer, name)
    values: FloatTensor = np.array(np.from_dlpack(output), np.float32)
    return values[:, 0]


def _see_that_it_is_wanted(request: Any) -> None:
    if request.is_cancelled():
        raise RuntimeError("nobody waits for it any more")


def _tensor(name: str, values: np.ndarray[Any, Any]) -> Any:
    """A tensor of these values. Triton frees them; it renames the capsule otherwise than NumPy's destructor expects."""
    capsule = values.__dlpack__()
    _set_destructor(capsule, None)
    return triton.Tensor.from_dlpack(name, capsule)
