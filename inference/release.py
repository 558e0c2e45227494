"""An exported set of models: read from its folder, checked, and proven by its golden cases.

    <model>/model.onnx, contract.json, golden.npz        one folder for each model of one system

`golden.npz` holds, for some real and some noise cases, the tensors `input.<name>` and what torch answered to them as
`output.<name>`, float32, first axis = case. A contract's `evaluation["parity"]` says how far an answer may be from it.

Called from `pacs_node.steps.publish` and `training.export`, so that what is exported is what can be published.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.contract import Contract
from inference.engine import Engine, is_exact
from inference.errors import ContractInvalid, GoldenMismatch, InferenceError, ReleaseInvalid
from inference.onnx import OnnxPredictor
from inference.predictor import FloatTensor, Predictor
from inference.registry import Member, ModelRepository

_NEEDS = {
    "dense-detector": ("detection", "limits", "intensity", "spacing_mm"),
    "slice-model": ("roi", "intensity"),
    "roi-head": ("classes",),
}
"""What a contract of each kind must say."""


BFLOAT16_PARITY = 0.05
"""For models that may be served in bfloat16, which has 8 bits of a number: single voxels of JNSC's golden cases are off
by 0.036, with a mean of 0.001 (`deploy/docs/performance.md`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Cases with known answers; every tensor has the case as its first axis."""

    inputs: Mapping[str, FloatTensor]
    outputs: Mapping[str, FloatTensor]

    @property
    def cases(self) -> int:
        """How many there are."""
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How well one model reproduced its golden cases: the largest difference, and the largest allowed.

    Both are absolute up to values of 1, as probabilities are, and shares of the largest value of a tensor beyond.
    """

    model: str
    version: int
    cases: int
    difference: float
    parity: float


def read_release(folder: Path) -> tuple[Member, ...]:
    """Read an exported set, and see that it is complete and consistent in itself.

    Raises
    ------
    ReleaseInvalid : says what is wrong with which model
    """
    members = tuple(_member(path.parent) for path in sorted(folder.glob("*/contract.json")))
    if not members:
        raise ReleaseInvalid(f"{folder} holds no <model>/contract.json; name the folder that the export made")
    faults = [*_faults_of_set([member.contract for member in members])]
    faults += [f"{m.contract.model}: {fault}" for m in members for fault in _faults_of_contract(m.contract)]
    if not faults:
        faults = [f"{m.contract.model}: {fault}" for m in members for fault in _faults_of_graph(m)]
    if faults:
        raise ReleaseInvalid("; ".join(faults))
    return members


def rehearse(members: Sequence[Member]) -> tuple[Proof, ...]:
    """Publish a set into a repository of its own, and see that it reproduces the golden cases there, in float32.

    Raises
    ------
    GoldenMismatch, ReleaseInvalid, InferenceError
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = ModelRepository(Path(folder))
        stored = trial.publish(*members)
        return tuple(prove(trial, OnnxPredictor(trial, exact=True), contract, exact=True) for contract in stored)


def prove(models: ModelRepository, predictor: Predictor, contract: Contract, *, exact: bool = False) -> Proof:
    """Ask a model its golden cases.

    Parameters
    ----------
    exact : the predictor computes in float32, whatever the model allows when it is served

    Raises
    ------
    GoldenMismatch : an answer is too far from what torch answered
    ReleaseInvalid : there are no golden cases
    InferenceError : the model does not answer, or not as its contract says
    """
    golden = golden_of(models.golden(contract.model, contract.version), contract)
    allowed, worst = _parity(contract, exact or is_exact(contract)), 0.0
    for case in range(golden.cases):
        inputs = {name: values[case : case + 1] for name, values in golden.inputs.items()}
        answer = predictor.infer(contract.model, contract.version, inputs, sorted(golden.outputs))
        for name, expected in golden.outputs.items():
            scale = max(1.0, float(np.abs(expected[case]).max()))
            difference = float(np.abs(answer[name][0] - expected[case]).max()) / scale
            worst = max(worst, difference)
            if difference > allowed:
                raise GoldenMismatch(
                    f"{contract.model} version {contract.version} answers golden case {case + 1} of {golden.cases} "
                    f"otherwise than torch: {name} is off by {difference:.2g}, {allowed:.2g} is allowed"
                )
    return Proof(model=contract.model, version=contract.version, cases=golden.cases, difference=worst, parity=allowed)


def golden_of(content: bytes, contract: Contract) -> Golden:
    """The golden cases in a file, which have to fit the contract; raises ReleaseInvalid."""
    what = f"golden.npz of {contract.model}"
    if not content:
        raise ReleaseInvalid(f"{what} is missing; without golden cases a version cannot prove itself")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            tensors: dict[str, FloatTensor] = {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ReleaseInvalid(f"{what} cannot be read: {error}") from error
    golden = Golden(inputs=_below(tensors, "input."), outputs=_below(tensors, "output."))
    shapes = {f"input.{spec.name}": spec.shape for spec in contract.inputs}
    shapes |= {f"output.{spec.name}": spec.shape for spec in contract.outputs}
    if len(golden.inputs) != len(contract.inputs) or not golden.outputs or tensors.keys() - shapes.keys():
        raise ReleaseInvalid(f"{what} holds {sorted(tensors)} instead of all inputs and some outputs of its contract")
    for key, tensor in tensors.items():
        if tensor.dtype != np.float32 or tensor.shape != (golden.cases, *shapes[key]) or not golden.cases:
            raise ReleaseInvalid(f"{what}: {key} is {tensor.dtype} {tensor.shape}, not float32 (cases, *{shapes[key]})")
        if not np.isfinite(tensor).all():
            raise ReleaseInvalid(f"{what}: {key} is not finite")
    return golden


def _below(tensors: Mapping[str, FloatTensor], prefix: str) -> dict[str, FloatTensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _member(folder: Path) -> Member:
    try:
        contract = Contract.from_json((folder / "contract.json").read_text(encoding="utf-8"))
        golden = folder / "golden.npz"
        member = Member(
            contract=contract,
            artefact=(folder / "model.onnx").read_bytes(),
            golden=golden.read_bytes() if golden.exists() else b"",
        )
    except (OSError, UnicodeDecodeError, ContractInvalid) as error:
        raise ReleaseInvalid(f"{folder.name}: {error}") from error
    if contract.model != folder.name:
        raise ReleaseInvalid(f"{folder.name}: its contract is that of {contract.model}")
    if not member.is_whole:
        raise ReleaseInvalid(f"{folder.name}: model.onnx does not have the SHA-256 that contract.json names")
    return member


def _faults_of_set(contracts: Sequence[Contract]) -> Iterator[str]:
    """What is wrong with the models as one system."""
    systems = {contract.system for contract in contracts}
    if len(systems) != 1 or "" in systems:
        yield f"the models have to be of one system, not of {sorted(systems)}"
    if not any(contract.roles for contract in contracts):
        yield "no model has a role"
    outputs = {contract.model: {spec.name for spec in contract.outputs} for contract in contracts}
    for contract in contracts:
        if contract.head is not None and contract.head not in outputs:
            yield f"{contract.model}: its head {contract.head} is not part of the set"
        for feed in contract.feeds:
            if feed.output not in outputs.get(feed.model, ()):
                yield f"{contract.model}: {feed.model}, which feeds it {feed.output}, is not part of the set"


def _faults_of_contract(contract: Contract) -> Iterator[str]:
    """What is missing in a contract or contradicts itself."""
    if contract.kind not in _NEEDS:
        yield f"{contract.kind!r} is no kind of model; there are {', '.join(_NEEDS)}"
    for field in _NEEDS.get(contract.kind, ()):
        if not getattr(contract, field):
            yield f"a {contract.kind} has to say its {field}"
    inputs, outputs = ([spec.name for spec in specs] for specs in (contract.inputs, contract.outputs))
    if not inputs or not outputs:
        yield "it has no inputs or no outputs"
    for name in {feed.input for feed in contract.feeds} - set(inputs):
        yield f"{name} is fed, but is no input"
    for name in {feature[0] for feature in contract.features} - set(outputs):
        yield f"{name} is a feature, but no output"
    if not isinstance(contract.evaluation.get("parity"), int | float):
        yield 'evaluation lacks "parity", the largest difference from torch that is allowed'


def _faults_of_graph(member: Member) -> Iterator[str]:
    """Where the file contradicts the contract, and golden cases that do not fit it."""
    contract = member.contract
    try:
        graph = Engine(member.artefact).tensors
        golden_of(member.golden, contract)
    except InferenceError as error:
        yield str(error)
        return
    for kind, specs, found in (("input", contract.inputs, graph[0]), ("output", contract.outputs, graph[1])):
        if {spec.name for spec in specs} != found.keys():
            yield f"the file has the {kind}s {sorted(found)}, the contract {sorted(spec.name for spec in specs)}"
            continue
        for spec in specs:
            shape = contract.open_shape(spec)
            if not _fits(found[spec.name], shape):
                yield f"{kind} {spec.name} is {list(found[spec.name])} in the file, not {[None, *shape]}"


def _fits(found: Sequence[int | None], shape: Sequence[int | None]) -> bool:
    """Whether a tensor of the file (None = of any length) has an open batch axis and then this shape."""
    batch, *rest = found or (0,)
    return batch is None and len(rest) == len(shape) and all(a in (None, b) for a, b in zip(rest, shape, strict=True))


def _parity(contract: Contract, exact: bool) -> float:
    allowed = contract.evaluation.get("parity")
    if not isinstance(allowed, int | float):
        raise ReleaseInvalid(f'the contract of {contract.model} lacks evaluation["parity"]; export it again')
    return float(allowed) if exact else max(float(allowed), BFLOAT16_PARITY)
