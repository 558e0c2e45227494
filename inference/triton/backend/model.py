"""The backend "onnxruntime" of the Triton that comes with the node, as a Python-based backend.

The server of the wheel brings the Python backend only. With this file it serves the very `config.pbtxt` that the
onnxruntime backend of NVIDIA's image serves. Run by Triton's stub process, never imported.
Tensors move by DLPack only: under NumPy 2 the stub's own `as_numpy` gives wrong data without saying so.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from inference.contract import Contract
from inference.engine import Engine, is_exact
from inference.predictor import FloatTensor

_set_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
_set_destructor.argtypes = [ctypes.py_object, ctypes.c_void_p]


class TritonPythonModel:
    """One instance of one version of one model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the file of the version, if it is the one that the configuration names."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        folder = Path(args["model_repository"], args["model_version"])
        artefact = (folder / "model.onnx").read_bytes()
        key = f"artifact_sha256_{args['model_version']}"
        if hashlib.sha256(artefact).hexdigest() != _text(parameters, key, ""):
            raise triton.TritonModelException(f"model.onnx is not the file that {key} names; publish it again")
        contract = Contract.from_json((folder / "contract.json").read_text(encoding="utf-8"))
        threads = _text(parameters, "intra_op_thread_count", os.environ.get("PULMONODE_INTRA_OP_THREADS", "1"))
        self._engine = Engine(artefact, threads=int(threads), is_exact=is_exact(contract))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request with the outputs that it asks for."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        inputs = {tensor.name(): np.asarray(np.from_dlpack(tensor), np.float32) for tensor in request.inputs()}
        outputs = self._engine.run(inputs, list(request.requested_output_names()))
        return triton.InferenceResponse([_tensor(name, values) for name, values in outputs.items()])


def _tensor(name: str, values: FloatTensor) -> Any:
    """An output. Triton frees the values; it renames the capsule otherwise than NumPy's own destructor expects."""
    capsule = values.__dlpack__()
    _set_destructor(capsule, None)
    return triton.Tensor.from_dlpack(name, capsule)


def _text(parameters: dict[str, dict[str, str]], key: str, default: str) -> str:
    return parameters.get(key, {}).get("string_value", default)
