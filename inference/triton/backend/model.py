"""The backend "onnxruntime" of the Triton that comes with the node: ONNX Runtime as a Python-based backend.

The server of the wheel brings the Python backend only. With this file it serves the very `config.pbtxt` that the
onnxruntime backend of NVIDIA's image serves. Run by Triton's stub process, never imported; needs only what is imported
here. Tensors move by DLPack only: under NumPy 2 the stub's own `as_numpy` gives wrong data without saying so.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One instance of one version of one model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the file of the version, if it is the one that the configuration names."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        artefact = Path(args["model_repository"], args["model_version"], "model.onnx").read_bytes()
        key = f"artifact_sha256_{args['model_version']}"
        if hashlib.sha256(artefact).hexdigest() != _text(parameters, key, ""):
            raise triton.TritonModelException(f"model.onnx is not the file that {key} names; publish it again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(
            _text(parameters, "intra_op_thread_count", os.environ.get("PULMONODE_INTRA_OP_THREADS", "1"))
        )
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other work shares these cores
        self._session = onnxruntime.InferenceSession(artefact, options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request with the outputs that it asks for."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        names = list(request.requested_output_names())
        inputs = {
            tensor.name(): onnxruntime.OrtValue.ortvalue_from_numpy(np.from_dlpack(tensor))
            for tensor in request.inputs()
        }
        outputs = self._session.run_with_ort_values(names, inputs)
        pairs = zip(names, outputs, strict=True)
        return triton.InferenceResponse([triton.Tensor.from_dlpack(name, value) for name, value in pairs])


def _text(parameters: dict[str, dict[str, str]], key: str, default: str) -> str:
    return parameters.get(key, {}).get("string_value", default)
