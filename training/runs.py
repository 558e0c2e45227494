"""A run: the folder that a training leaves. Called from `training.cli`.

run.json           recipe, hashes of data and splits, fold, commit, seed, versions; of a pack, what is in it
patients.json      who was trained on and who validated, so that the run is never measured on whom it knows
checkpoint.npz     see `training.checkpoint`
curves.csv         step, phase, what, value: the losses and the validation's figures
curves.png         the same as a picture
labels.json        JNSC only: kinds of labels compared, written by `pulmonode-train jnsc-labels`, with labels.md
evaluation.json    figures, written by `pulmonode-train evaluate`, with evaluation.md and cases.png to look at
froc.json          figures of whole scans, written by `pulmonode-train froc`, with froc.md, froc.png and the candidates
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from training.data import packs, splits
from training.data.splits import Split
from training.errors import OtherRun
from training.recipe_json import filled, recipe_as_json
from training.served import Served
from training.sources import Sources
from training.system import Recipe

ABOUT, PATIENTS, CURVES, PICTURE = "run.json", "patients.json", "curves.csv", "curves.png"
EVALUATION, LABELS = "evaluation.json", "labels.json"
SAME = ("recipe", "data_sha256", "splits_sha256", "fold")
PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "monai", "pymatting", "pytorch-optimizer", "SimpleITK")


def about(recipe: Recipe, sources: Sources, folder: Path) -> dict[str, Any]:
    """What a run in this folder is made from; a run that is taken up again must have the same recipe and data.

    Raises
    ------
    OtherRun
    """
    own = describe(recipe, sources)
    if (folder / ABOUT).exists():
        before = read(folder)
        if own["recipe"]["name"] == before["recipe"]["name"]:
            before["recipe"] = filled(before["recipe"], recipe)
        changed = [key for key in SAME if before.get(key) != own.get(key)]
        if changed:
            what = ", ".join(changed)
            raise OtherRun(f"{folder} holds another run ({what} differ); choose another folder or remove it")
    return own


def begin(folder: Path, about: Mapping[str, Any], patients: Split) -> None:
    """Write `run.json` and `patients.json`, unless the run is taken up again."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ABOUT).exists():
        splits.save(patients, folder / PATIENTS)
        (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def guard(folder: Path, sources: Sources) -> None:
    """Refuse data whose validation patients a run was trained on.

    Raises
    ------
    SplitBroken
    """
    if (folder / PATIENTS).exists():
        splits.guard(splits.load(folder / PATIENTS).train, sources.patients.validation)


def note(folder: Path, more: Mapping[str, Any]) -> None:
    """Add to `run.json`."""
    (folder / ABOUT).write_text(json.dumps({**read(folder), **more}, indent=2) + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """What `run.json` says.

    Raises
    ------
    OtherRun : the folder holds no run
    """
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OtherRun(f"{folder} holds no run; `pulmonode-train fit RECIPE {folder}` makes one") from error
    return about


def describe(recipe: Recipe, sources: Sources) -> dict[str, Any]:
    """What a run is made from, as JSON."""
    return {
        "recipe": recipe_as_json(recipe),
        "seed": recipe.settings.seed,
        "data_sha256": fingerprint(sources.data),
        "splits_sha256": {"luna16": sources.luna16_split.sha256, "lidc": sources.lidc_split.sha256},
        "fold": sources.fold,
        "pack": packs.about(sources.data),
        "commit": _commit(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def fingerprint(data: Path) -> str:
    """SHA-256 over names and contents of the files that training reads, in the order of names."""
    digest = hashlib.sha256()
    for folder in ("lidc_slices", "luna16_nodules", packs.BACKGROUNDS, packs.NODULES, packs.SLICES):
        for path in sorted((data / folder).glob("*")):
            digest.update(f"{folder}/{path.name}".encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def said(sources: Sources) -> dict[str, Any]:
    """What figures say of their data where these are not the shared ones with the committed split."""
    fold = {} if sources.fold is None else {"fold": sources.fold}
    pack = packs.about(sources.data)
    return fold if pack is None else {**fold, "data": f"validation patients of {packs.described(pack)}", "pack": pack}


def labelled(served: Sequence[Served], sources: Sources) -> tuple[Served, ...]:
    """Models whose contracts say where their labels and data come from, if that is a pack."""
    pack = packs.about(sources.data)
    return tuple(served) if pack is None else tuple(_of_pack(one, packs.described(pack)) for one in served)


def _of_pack(served: Served, said: str) -> Served:
    contract = served.contract
    trained_on = {**contract.trained_on, "sources": (said,)}
    labels = f"{contract.label_rule}; masks as they are in {said}"
    return dataclasses.replace(served, contract=dataclasses.replace(contract, label_rule=labels, trained_on=trained_on))


def _commit() -> str:
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"
