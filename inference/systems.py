"""Which pipelines the models of a repository make up: every system may outline or rate what the detector finds.

Pure: a choice and contracts in, a `Pipeline` out. Called from `pacs_node.steps`, for rules and for jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inference.contract import Contract
from inference.errors import ContractInvalid, ModelNotFound
from inference.findings import ModelUse
from inference.pipeline import Pipeline

DETECTION, SEGMENTATION, MALIGNANCY = "detection", "segmentation", "malignancy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Whose models an analysis asks about what the detector found.

    Parameters
    ----------
    pipeline : the system for segmentation and, if it can, for malignancy; else the detector's head says that
    segmentation, malignancy : another system for one of them; empty for the same
    """

    pipeline: str
    segmentation: str = ""
    malignancy: str = ""


def assembled(choice: Choice, active: Sequence[Contract]) -> Pipeline:
    """The pipeline of a choice, with the active versions.

    Parameters
    ----------
    active : contracts of the active version of every system

    Raises
    ------
    ModelNotFound : no system of that name answers for what it is chosen for; the message names those that do
    ContractInvalid : two models claim the same, one that another needs is missing, or they feed each other in a circle
    """
    detector = detector_among(active)
    head = _partner(detector, detector.head, active) if detector.head else None
    whole = _answering(SEGMENTATION, choice.pipeline, active)
    outlines = _answering(SEGMENTATION, choice.segmentation, active) if choice.segmentation else whole
    raters = {contract.system for contract in active if MALIGNANCY in contract.roles}
    rater = choice.malignancy or (choice.pipeline if choice.pipeline in raters else "")
    rates = _answering(MALIGNANCY, rater, active) if rater else head
    return Pipeline(
        name=_name(choice, outlines, rates),
        detector=detector,
        head=head,
        segmentation=() if outlines.model == detector.model else _chain(outlines, active),
        malignancy=() if rates is None or rates.model == detector.head else _chain(rates, active),
    )


def restored(name: str, uses: Sequence[ModelUse], contract_of: Callable[[str, int], Contract]) -> Pipeline:
    """The pipeline that had these `Pipeline.uses`.

    Parameters
    ----------
    contract_of : the contract of a version of a model

    Raises
    ------
    ModelNotFound : a version is no longer there
    ContractInvalid : the file of a version is another one now, or no use is that of a detector
    """
    roles: dict[str, list[Contract]] = {}
    for use in uses:
        contract = contract_of(use.name, use.version)
        if contract.sha256 != use.sha256:
            raise ContractInvalid(f"{use.name} version {use.version} is no longer what it was: its hash is another")
        roles.setdefault(use.role, []).append(contract)
    if "detector" not in roles:
        raise ContractInvalid("no detector is named among the models")
    return Pipeline(
        name=name,
        detector=roles["detector"][0],
        head=roles.get("head", [None])[0],
        segmentation=tuple(roles.get("segmentation", ())),
        malignancy=tuple(roles.get("malignancy", ())),
    )


def detector_among(active: Sequence[Contract]) -> Contract:
    """The one model that detects, in every pipeline.

    Raises
    ------
    ModelNotFound, ContractInvalid : there is none, or more than one
    """
    detectors = [contract for contract in active if DETECTION in contract.roles]
    if not detectors:
        raise ModelNotFound("there is no model for detection; `pulmonode model list` shows what there is")
    if len(detectors) > 1:
        raise ContractInvalid(f"more than one model detects: {', '.join(contract.model for contract in detectors)}")
    return detectors[0]


def _answering(role: str, system: str, active: Sequence[Contract]) -> Contract:
    """The model of a system that has a role."""
    able = [contract for contract in active if role in contract.roles]
    found = [contract for contract in able if contract.system == system]
    if not found:
        names = ", ".join(sorted({contract.system for contract in able}))
        raise ModelNotFound(f"there is no system {system!r} for {role}; there are: {names}")
    if len(found) > 1:
        raise ContractInvalid(f"{' and '.join(contract.model for contract in found)} both claim {role} for {system}")
    return found[0]


def _partner(contract: Contract, model: str, active: Sequence[Contract]) -> Contract:
    """Another model of the same system, which it needs; the active version of a system is one number."""
    for other in active:
        if (other.model, other.version) == (model, contract.version):
            return other
    raise ContractInvalid(f"{contract.model} version {contract.version} needs {model} of the same version")


def _chain(last: Contract, active: Sequence[Contract], above: tuple[str, ...] = ()) -> tuple[Contract, ...]:
    """A model after all that feed it, each once."""
    if last.model in above:
        raise ContractInvalid(f"{last.model} feeds itself, over {', '.join(above)}")
    before = [
        contract
        for feed in last.feeds
        for contract in _chain(_partner(last, feed.model, active), active, (*above, last.model))
    ]
    return tuple({contract.model: contract for contract in (*before, last)}.values())


def _name(choice: Choice, outlines: Contract, rates: Contract | None) -> str:
    """What the pipeline is called: its system, or both systems where one was overridden."""
    systems = [outlines.system] + ([rates.system] if rates is not None else [])
    overrides = choice.segmentation or choice.malignancy
    return "+".join(dict.fromkeys(systems)) if overrides else choice.pipeline
