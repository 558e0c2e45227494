"""Weights to model repository: ONNX files, `config.pbtxt` and `contract.json`, with a proof that ONNX and torch agree.

Called from `training.cli`. The layout is the one that NVIDIA Triton and `inference.registry` read.
Shape suffixes: B batch, C channel, K J I space, N candidates, F features.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from inference.contract import Contract, TensorSpec
from training.networks.jnsc import Jnsc, JnscHead

OPSET = 18
ROI = 64
DENSE_BATCH, HEAD_BATCH = 16, 64


def dense_onnx(network: Jnsc) -> bytes:
    """The dense network as ONNX: "window" to "probability" and "v1".."v5", dynamic batch."""
    names = ["probability", *(f"v{level}" for level in range(1, 6))]
    return _onnx(network, torch.zeros(2, 1, ROI, ROI, ROI), "window", names, DENSE_BATCH)


def head_onnx(head: JnscHead) -> bytes:
    """The head as ONNX: "features" to "probability", dynamic batch."""
    return _onnx(head, torch.zeros(2, head.linear.in_features), "features", ["probability"], HEAD_BATCH)


def dense_tensors(network: Jnsc) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of the dense network for its contract."""
    cube = TensorSpec(name="window", shape=(1, ROI, ROI, ROI))
    maps = tuple(
        TensorSpec(name=f"v{level + 1}", shape=(width, *(ROI // 2**level,) * 3))
        for level, width in enumerate(network.config.widths)
    )
    return (cube,), (TensorSpec(name="probability", shape=cube.shape), *maps)


def head_tensors(head: JnscHead) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of the head for its contract."""
    features = TensorSpec(name="features", shape=(head.linear.in_features,))
    return (features,), (TensorSpec(name="probability", shape=(head.linear.out_features,)),)


def write_model(repository: Path, contract: Contract, artefact: bytes, maximum_batch: int) -> Contract:
    """Write one model version and make it the one that is served.

    Parameters
    ----------
    repository : the model repository; the model's folder is made if need be
    contract : its `sha256` is filled in here
    artefact : content of the ONNX file
    maximum_batch : largest batch that the server may form

    Returns
    -------
    the contract as written
    """
    complete = dataclasses.replace(contract, sha256=hashlib.sha256(artefact).hexdigest())
    folder = repository / contract.model
    file = folder / contract.file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(artefact)
    (folder / "config.pbtxt").write_text(config_pbtxt(complete, maximum_batch))
    (folder / "contract.json").write_text(complete.to_json())
    return complete


def config_pbtxt(contract: Contract, maximum_batch: int) -> str:
    """Triton's model configuration; no `instance_group`, so that the server chooses GPU or CPU by what it has."""
    lines = [
        f'name: "{contract.model}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {maximum_batch}",
        _tensors("input", contract.inputs),
        _tensors("output", contract.outputs),
        f"version_policy: {{ specific: {{ versions: [{contract.version}] }} }}",
        f'parameters {{ key: "artifact_sha256" value: {{ string_value: "{contract.sha256}" }} }}',
    ]
    return "\n".join(lines) + "\n"


def _tensors(kind: str, specs: Sequence[TensorSpec]) -> str:
    rows = [f'  {{ name: "{spec.name}" data_type: TYPE_FP32 dims: {list(spec.shape)} }}' for spec in specs]
    return f"{kind} [\n" + ",\n".join(rows) + "\n]"


def _onnx(module: nn.Module, example: Tensor, entry: str, exits: Sequence[str], maximum_batch: int) -> bytes:
    batch = torch.export.Dim("batch", min=1, max=maximum_batch)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecated internals
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            module.eval(),
            (example,),
            str(file),
            dynamo=True,
            opset_version=OPSET,
            input_names=[entry],
            output_names=list(exits),
            dynamic_shapes=({0: batch},),
            external_data=False,
            verbose=False,
        )
        return file.read_bytes()
