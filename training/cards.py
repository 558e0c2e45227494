"""Model cards from contracts: `deploy/docs/models/<system>.md`. Called from `training.cli`.

Every number in a card stands in a contract, so that the card cannot say anything else than the file that is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.contract import Contract
from inference.registry import ModelRepository
from training.evaluation.pages import table

HEAD = """**Research use only; not a medical device.** Written by `pulmonode-train cards`; do not edit. "Malignancy"
is the opinion of LIDC's readers, not pathology, and follows size: no answer is a probability of cancer."""

ABOUT = {
    "hr_mpf": "HR-MPF (paper 1: Zhu et al., high-resolution network with multi-scale progressive fusion): outlines "
    "a nodule on each slice and says how malignant its readers would call it.",
    "mt_net": "MT-Net (paper 2): a Coarse network feeds a Fine one, which outlines, and a Class network, which judges.",
    "detection_guided": "Detection-guided network (paper 3, arXiv 2410.20154): a classifier of nodule presence guides "
    "an outline that soft threshold dynamics smooth. The malignancy answer is an addition; the paper has none.",
    "jnsc": "JNSC (paper 4: Liu & Chan, IEEE Access 2020): proposes nodules in a whole CT, outlines them in 3-D, and "
    "judges each candidate. All pipelines detect with it.",
    "dsnet": "DSNet (paper 5: Wang et al.): a soft mask of the nodule on each slice, helped by a super-resolution "
    "teacher. It says nothing about malignancy.",
}

_LARGEST_ONLY = "It was trained on the largest slice of each nodule: slices near a nodule's ends are new to it."
_RESAMPLED = "Its crops come from patches that were resampled to 1 mm, so they are smoother than a CT's own slices."

WEAK = {
    "hr_mpf": (_LARGEST_ONLY, _RESAMPLED),
    "mt_net": (_LARGEST_ONLY, "It works on the CT's own pixels; LIDC's are 0.46 to 0.98 mm wide."),
    "detection_guided": (
        _RESAMPLED,
        "Its clinical set is seven patients of the same collection: it shows the mechanism, not a new hospital.",
    ),
    "jnsc": (
        "Nodules under 6 mm are most of what it misses.",
        "Large vessels at the hilum look like nodules to it; so do thick vessels of the phantom.",
        "Its operating score is set on synthetic phantoms, not on real whole CTs.",
    ),
    "dsnet": (
        "Its truth is what matting makes of readers' outlines: it agrees with an algorithm as well as with readers.",
        "It was trained on nodules that four readers drew, which are the clear ones.",
    ),
}

EVERYWHERE = (
    "Sub-solid nodules are rare in the training data (6.6 % non-solid, 4.1 % part-solid in LIDC).",
    "One collection of scanners of the 2000s. Networks of this kind lose much elsewhere (published: CPM 0.93 within "
    "LUNA16, 0.45 to 0.65 on other data).",
)


def cards(repository: Path) -> dict[str, str]:
    """The card of the active version of each system, by its name."""
    models = ModelRepository(repository)
    names = [system.name for system in models.systems() if system.active is not None]
    return {name: card(sorted(models.members(name), key=lambda contract: not contract.roles)) for name in names}


def card(contracts: Sequence[Contract]) -> str:
    """The card of one system.

    Parameters
    ----------
    contracts : of all its models in one version; the first one's evaluation is shown
    """
    first = contracts[0]
    models = ["| model | answers for | takes | gives | SHA-256 |", "|---|---|---|---|---|"]
    models += [_model(contract) for contract in contracts]
    weak = "\n".join(f"- {text}" for text in (*WEAK[first.system], *EVERYWHERE))
    parts = [
        f"# Model card: {first.system}, version {first.version}",
        HEAD,
        ABOUT[first.system],
        "\n".join(models),
        _training(first),
        f"## Measured\n\n{table(_without_proofs(first.evaluation))}".rstrip(),
        f"## What it is bad at\n\n{weak}",
    ]
    return "\n\n".join(parts) + "\n"


def _model(contract: Contract) -> str:
    inputs, outputs = (
        ", ".join(f"{spec.name} {'x'.join(map(str, spec.shape))}" for spec in specs)
        for specs in (contract.inputs, contract.outputs)
    )
    roles = ", ".join(contract.roles) or "the others of its system"
    return f"| {contract.model} | {roles} | {inputs} | {outputs} | `{contract.sha256}` |"


def _training(contract: Contract) -> str:
    about = contract.trained_on
    recipe = about.get("recipe", {})
    sources = "; ".join(about.get("sources", ()))
    commit = str(about.get("commit", "unknown"))[:12]
    lines = [
        f"Trained by recipe `{recipe.get('name', 'unknown')}` at commit {commit}, seed {about.get('seed', 'unknown')}.",
        f"Labels: {contract.label_rule}.",
        f"Data: {sources}." if sources else "",
        _used_on(contract),
    ]
    return "\n".join(line for line in lines if line)


def _used_on(contract: Contract) -> str:
    if contract.limits is not None:
        low, high = contract.limits.slice_thickness_mm
        count, length = contract.limits.minimum_slices, contract.limits.minimum_coverage_mm
        return (
            f"May be used on axial CT with slices of {low:g} to {high:g} mm, at least {count} of them over "
            f'{length:g} mm; anything else is answered with "not analysed because ...".'
        )
    if contract.roi is None:
        return ""
    spacing = contract.roi.pixel_spacing_mm
    pixels = f"pixels of {spacing:g} mm" if spacing else "the CT's own pixels"
    return f"Asked on every slice of a candidate and {contract.roi.margin_mm:g} mm beyond it, with {pixels}."


def _without_proofs(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in evaluation.items() if name != "parity"}
