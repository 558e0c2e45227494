"""Weights to model repository: ONNX files with their contracts, and a proof that ONNX and torch agree.

Called from `training.cli`. How a repository is laid out is known to `inference.registry`.
"""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inference.contract import Contract
from inference.onnx import OnnxPredictor
from inference.registry import Member, ModelRepository
from training.model_contract import ROI, dense_contract, head_contract
from training.networks.jnsc import Jnsc, JnscHead
from training.torch_predictor import TorchPredictor

OPSET = 18
DENSE_BATCH, HEAD_BATCH = 16, 64


class ParityBroken(Exception):
    """The exported file does not compute what the trained network does."""


def dense_onnx(network: Jnsc) -> bytes:
    """The dense network as ONNX: "window" to "probability" and "v1".."v5", dynamic batch."""
    names = ["probability", *(f"v{level}" for level in range(1, 6))]
    return _onnx(network, torch.zeros(2, 1, ROI, ROI, ROI), "window", names, DENSE_BATCH)


def head_onnx(head: JnscHead) -> bytes:
    """The head as ONNX: "features" to "probability", dynamic batch."""
    return _onnx(head, torch.zeros(2, head.linear.in_features), "features", ["probability"], HEAD_BATCH)


def publish(
    repository: Path,
    networks: tuple[Jnsc, JnscHead],
    trained_on: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    *,
    operating_score: float,
    parity: float,
) -> tuple[Contract, Contract]:
    """Publish both networks as the next version of their models.

    Parameters
    ----------
    trained_on, evaluation : for the contracts
    parity : largest difference between torch and ONNX that is accepted

    Raises
    ------
    ParityBroken : the ONNX files answer something else; nothing is published
    """
    network, head = networks
    contract = dense_contract(network, trained_on, evaluation, operating_score)
    dense = Member(contract=contract, artefact=dense_onnx(network))
    linear = Member(contract=head_contract(head, trained_on, {}), artefact=head_onnx(head))
    with tempfile.TemporaryDirectory() as folder:
        trial = ModelRepository(Path(folder))
        differences = [_difference(trial, contract, networks) for contract in trial.publish(dense, linear)]
    if max(differences) > parity:
        raise ParityBroken(f"torch and ONNX differ by {max(differences):.2g}, {parity:.2g} is allowed")
    first, second = ModelRepository(repository).publish(
        *(_proven(member, difference) for member, difference in zip((dense, linear), differences, strict=True))
    )
    return first, second


def _proven(member: Member, difference: float) -> Member:
    proven = {**member.contract.evaluation, "onnx_torch_max_abs_difference": difference}
    return dataclasses.replace(member, contract=dataclasses.replace(member.contract, evaluation=proven))


def _difference(models: ModelRepository, contract: Contract, networks: tuple[Jnsc, JnscHead]) -> float:
    """Largest absolute difference of any output between ONNX Runtime and torch, over three batches of noise."""
    rng = np.random.default_rng(0)
    names = [spec.name for spec in contract.outputs]
    worst = 0.0
    for batch in (1, 2, 3):
        inputs = {s.name: rng.standard_normal((batch, *s.shape), dtype=np.float32) for s in contract.inputs}
        one = OnnxPredictor(models).infer(contract.model, contract.version, inputs, names)
        other = TorchPredictor(*networks).infer(contract.model, contract.version, inputs, names)
        worst = max(worst, *(float(np.abs(one[name] - other[name]).max()) for name in names))
    return worst


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
