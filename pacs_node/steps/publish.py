"""Publish, promote, roll back: an exported release to the version that the node plans with, and back again.

A version is proven three times: in a repository of its own before anything is touched, on the live server when it is
published, and there once more when it is promoted. Called from `pulmonode model`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.contract import Contract
from inference.errors import InferenceError, PredictorUnavailable
from inference.onnx import OnnxPredictor
from inference.predictor import Predictor, canary
from inference.registry import ModelRepository
from inference.release import Proof, prove, read_release, rehearse
from inference.triton import TritonPredictor, control_of
from pacs_node.config import Config

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Who answers for the models now.

    Parameters
    ----------
    name : for people
    predictor : asks it
    load : makes it serve what the configuration of a model says
    """

    name: str
    predictor: Predictor
    load: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """What came of it.

    Parameters
    ----------
    system, version : what was published, promoted or rolled back to
    active : the version that is active now; None if the system has none yet
    is_live : the server answers with the version now, not only after its next start
    proofs : of the golden cases on the live server, one for each model
    """

    system: str
    version: int
    active: int | None
    is_live: bool
    proofs: tuple[Proof, ...]


def live_of(config: Config, models: ModelRepository, header: Mapping[str, str] | None = None) -> Live:
    """The Triton of the configuration, or this process where there is none to be told.

    Parameters
    ----------
    header : opens a Triton whose model control is restricted; that of the embedded one is known
    """
    if config.triton.mode == "onnx":
        return Live(
            name="this process (no server serves this repository)",
            predictor=OnnxPredictor(models, threads=config.triton.threads),
            load=lambda model: None,
        )
    is_embedded = config.triton.mode == "embedded"
    triton = TritonPredictor(
        config.triton.url,
        models,
        deadline_s=config.triton.deadline_s,
        control=header or (control_of(config.triton_runtime) if is_embedded else None),
        is_embedded=is_embedded,
    )
    return Live(name=f"Triton at {config.triton.url}", predictor=triton, load=triton.load)


def publish(models: ModelRepository, live: Live, folder: Path, tell: Tell) -> Switch:
    """Publish a release beside what is served; it is not active before it is promoted.

    Raises
    ------
    InferenceError : the release was refused, and nothing of it is left; what was served is served
    """
    members = read_release(folder)
    for proof in rehearse(members):
        tell(f"checked: {_described(proof)}, in float32 here")
    system = members[0].contract.system
    served = _served(models, system)
    contracts = models.add(members)
    version = contracts[0].version
    tell(f"staged: version {version} of {system} ({', '.join(contract.model for contract in contracts)})")
    try:
        _load(live, models.serve(system, version))
        active = models.system(system).active
        tell(f"loaded: {live.name}" + (f", beside version {active}" if active is not None else ""))
        proofs = _proven(models, live, contracts, tell)
    except BaseException as error:
        _take_out(models, live, contracts[0], served, tell)
        if isinstance(error, PredictorUnavailable):
            raise _advised(error, live) from error
        raise
    return Switch(system=system, version=version, active=active, is_live=True, proofs=proofs)


def promote(models: ModelRepository, live: Live, system: str, version: int | None, tell: Tell) -> Switch:
    """Make a version the active one if the live server reproduces its golden cases now.

    Parameters
    ----------
    version : None for the newest

    Raises
    ------
    InferenceError : it is not promoted; what was active is active
    """
    record = models.system(system)
    number = max(record.versions) if version is None else version
    contracts = models.members(system, number)
    served = _served(models, system)
    try:
        models.serve(system, number)
        _load(live, [contract.model for contract in contracts])
        proofs = _proven(models, live, contracts, tell)
    except BaseException as error:
        if number not in served:
            _tell_quietly(live, models.serve(system, *served), tell)
        if isinstance(error, PredictorUnavailable):
            raise _advised(error, live) from error
        raise
    models.activate(system, number)
    tell(f"active: version {number} of {system}; new studies are planned with it")
    if record.active not in (None, number):
        tell(f"version {record.active} stays served for the jobs that were planned with it")
    return Switch(system=system, version=number, active=number, is_live=True, proofs=proofs)


def rollback(models: ModelRepository, live: Live, system: str, tell: Tell) -> Switch:
    """Make the version before the active one again, whether or not a server answers.

    Raises
    ------
    InferenceError : there is none, or it is damaged
    """
    record = models.system(system)
    version = record.rolled_back().active
    assert version is not None
    contracts = models.members(system, version)
    served, is_live = _served(models, system), True
    try:
        if any(version not in models.served_versions(contract.model) for contract in contracts):
            _load(live, models.serve(system, version, *served))
    except PredictorUnavailable:
        is_live = False
    except InferenceError:
        _tell_quietly(live, models.serve(system, *served), tell)
        raise
    models.rollback(system)
    tell(f"active: version {version} of {system}; version {record.active} only ends the jobs planned with it")
    try:
        for contract in contracts:
            canary(live.predictor, contract)
        tell(f"answers: {live.name}")
    except PredictorUnavailable as error:
        is_live = False
        tell(f"{live.name} does not answer ({error}); it serves version {version} from its next start")
    return Switch(system=system, version=version, active=version, is_live=is_live, proofs=())


def _load(live: Live, models: Sequence[str]) -> None:
    for model in models:
        live.load(model)


def _proven(models: ModelRepository, live: Live, contracts: Sequence[Contract], tell: Tell) -> tuple[Proof, ...]:
    proofs = []
    for contract in contracts:
        proofs.append(prove(models, live.predictor, contract))
        tell(f"proven: {_described(proofs[-1])}, by {live.name}")
    return tuple(proofs)


def _served(models: ModelRepository, system: str) -> tuple[int, ...]:
    """The versions that any model of a system is served in; none if there is no such system yet."""
    names = [model for record in models.systems() if record.name == system for model in record.models]
    return tuple(sorted({version for name in names for version in models.served_versions(name)}))


def _take_out(models: ModelRepository, live: Live, member: Contract, served: Sequence[int], tell: Tell) -> None:
    changed = models.withdraw(member.system, member.version, *served)
    tell(f"taken out: version {member.version} of {member.system}; what was served before stays served")
    _tell_quietly(live, changed, tell)


def _tell_quietly(live: Live, models: Sequence[str], tell: Tell) -> None:
    """Take back what a server was told; if that fails, the failure that led here is the one to report."""
    try:
        _load(live, models)
    except InferenceError as error:
        tell(f"{live.name} could not be told ({error}); it serves what is configured from its next start")


def _described(proof: Proof) -> str:
    return (
        f"{proof.model} version {proof.version} reproduces {proof.cases} of {proof.cases} golden cases, "
        f"largest difference {proof.difference:.1e} ({proof.parity:.0e} allowed)"
    )


def _advised(error: PredictorUnavailable, live: Live) -> PredictorUnavailable:
    return type(error)(
        f"{error}; {live.name} has to answer for this: start it (`pulmonode node up`), or set "
        "PULMONODE_TRITON__MODE=onnx if no server serves this repository now"
    )
