"""Trained modules to a release: ONNX files with their contracts, golden cases, and a proof that ONNX and torch agree.

    <folder>/<model>/model.onnx, contract.json, golden.npz

A release is what `pulmonode model publish` takes. Called from `training.cli`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxscript import ir
from torch import nn

from inference.contract import Contract
from inference.predictor import FloatTensor
from inference.registry import Member
from inference.release import Golden, Proof, read_release, rehearse
from training.errors import FolderTaken
from training.halves import store_halves
from training.served import Served, TorchPredictor

GOLDEN = "golden.npz"
OPSET = 18
LARGEST = 300_000
"""Numbers per case of an output that golden cases keep; larger maps are proven at export and not kept."""

Real = Mapping[tuple[int, ...], FloatTensor]
"""Real inputs by the shape that a model takes, first axis = case."""


Goldens = dict[str, Golden]


def release(
    served: Sequence[Served],
    folder: Path,
    *,
    real: Real,
    parity: float,
    trained_on: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> tuple[Proof, ...]:
    """Write a release, after proving by the code that will publish it that the file answers as torch does.

    Parameters
    ----------
    served : the models of one system, the ones that feed others first
    folder : must not be there yet
    real : cases that every model is asked beside noise
    parity : the largest absolute difference between torch and the file that is accepted
    trained_on, evaluation : for the contracts

    Raises
    ------
    FolderTaken : there is something at that place
    GoldenMismatch, ReleaseInvalid : the files answer something else, or contradict their contracts; nothing is left
    """
    with _staged(folder) as new:
        goldens = golden_cases(served, real)
        for one in served:
            content = onnx_of(one)
            contract = dataclasses.replace(
                one.contract,
                sha256=hashlib.sha256(content).hexdigest(),
                trained_on={**one.contract.trained_on, **trained_on},
                evaluation={**evaluation, "parity": parity},
            )
            _write(new / contract.model, content, contract)
            _save(goldens[contract.model], goldens[contract.model].outputs, new / contract.model)
        proofs = rehearse(read_release(new))
        for proof in proofs:
            _finish(new / proof.model, proof, goldens[proof.model])
    return proofs


def release_again(members: Sequence[Member], folder: Path) -> tuple[Proof, ...]:
    """Write models that were published before as a release, with what is new in their contracts, and prove them.

    Parameters
    ----------
    folder : must not be there yet

    Raises
    ------
    FolderTaken, GoldenMismatch, ReleaseInvalid : nothing is left
    """
    with _staged(folder) as new:
        for member in members:
            place = new / member.contract.model
            _write(place, member.artefact, member.contract)
            (place / GOLDEN).write_bytes(member.golden)
        return rehearse(read_release(new))


def see_that_it_is_free(folder: Path) -> None:
    """Raise FolderTaken if there is something at that place."""
    if folder.exists():
        raise FolderTaken(f"{folder} is there already; choose another folder, a release is never changed")


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A place beside a folder, which takes its name in the end."""
    see_that_it_is_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".release-") as staging:
        new = Path(staging) / folder.name
        yield new
        new.rename(folder)


def golden_cases(served: Sequence[Served], real: Real) -> Goldens:
    """For each model real cases and one of noise, the inputs that others feed from those others' answers."""
    predictor = TorchPredictor(served)
    rng = np.random.default_rng(0)
    known: dict[tuple[str, str], FloatTensor] = {}
    goldens = {}
    for one in served:
        contract = one.contract
        fed = {feed.input: known[feed.model, feed.output] for feed in contract.feeds}
        inputs = {s.name: fed[s.name] if s.name in fed else _cases(s.shape, real, rng) for s in contract.inputs}
        outputs = predictor.infer(contract.model, 0, inputs, [spec.name for spec in contract.outputs])
        known |= {(contract.model, name): values for name, values in outputs.items()}
        goldens[contract.model] = Golden(inputs=inputs, outputs=outputs)
    return goldens


def onnx_of(served: Served) -> bytes:
    """A model as one ONNX file with the names of its contract and a dynamic batch, large weights in half their room."""
    contract = served.contract
    examples = tuple(torch.zeros(2, *spec.shape) for spec in contract.inputs)
    axes = {0: torch.export.Dim("batch", min=1, max=served.maximum_batch)}
    if contract.is_one_pass:
        axes |= {axis: contract.step * torch.export.Dim(f"steps_{axis}", min=2) for axis in (2, 3, 4)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecated internals
        program = torch.onnx.export(
            _Positional(served.module).eval(),
            examples,
            dynamo=True,
            optimize=False,  # `store_halves` does
            opset_version=OPSET,
            input_names=[spec.name for spec in contract.inputs],
            output_names=[spec.name for spec in contract.outputs],
            dynamic_shapes={"inputs": tuple(axes for _ in examples)},
            verbose=False,
        )
        assert program is not None  # it is None for the older exporter only
        store_halves(program.model)
        ir.passes.common.ClearMetadataAndDocStringPass()(program.model)  # stack traces, with this machine's paths
    content: bytes = program.model_proto.SerializeToString()
    return content


class _Positional(nn.Module):
    """A module with its inputs in a row, whatever it calls them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.module(*inputs)


def _cases(shape: tuple[int, ...], real: Real, rng: np.random.Generator) -> FloatTensor:
    noise = rng.random((1, *shape), np.float32)
    return np.concatenate([real[shape], noise]) if shape in real else noise


def _write(folder: Path, content: bytes, contract: Contract) -> None:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "contract.json").write_text(contract.to_json(), encoding="utf-8")


def _finish(folder: Path, proof: Proof, golden: Golden) -> None:
    """Note what was proven, and keep only those outputs that are small enough to lie beside the model."""
    path = folder / "contract.json"
    contract = Contract.from_json(path.read_text(encoding="utf-8"))
    evaluation = {**contract.evaluation, "onnx_torch_max_abs_difference": proof.difference}
    path.write_text(dataclasses.replace(contract, evaluation=evaluation).to_json(), encoding="utf-8")
    _save(golden, {name: values for name, values in golden.outputs.items() if values[0].size <= LARGEST}, folder)


def _save(golden: Golden, outputs: Mapping[str, FloatTensor], folder: Path) -> None:
    arrays = {f"input.{name}": values for name, values in golden.inputs.items()}
    arrays |= {f"output.{name}": values for name, values in outputs.items()}
    np.savez_compressed(folder / GOLDEN, **arrays)  # type: ignore[arg-type]
