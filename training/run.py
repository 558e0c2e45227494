"""A run: the folder that a training leaves, what it was made from, and the data it needs. Called from `training.cli`.

run.json           recipe, hashes of data and split, commit, seed, versions
checkpoint.npz     see `training.state`
losses.csv         step and losses, a line every `LOSSES_EVERY` steps
evaluation.json    written by `pulmonode-train evaluate`
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.data import luna16, phantom, scans, splits
from training.data.bank import Bank
from training.data.luna16 import Nodule
from training.data.scans import Scan
from training.data.splits import Split
from training.recipes import RECIPES, Recipe

SPLIT = Path(__file__).parent / "data" / "luna16_split.json"
RUN, EVALUATION, LOSSES = "run.json", "evaluation.json", "losses.csv"


def training_bank(recipe: Recipe, data: Path, cache: Path, tell: Callable[[str], None]) -> Bank:
    """All that the recipe trains on; scans that are not in the cache yet are made first.

    Parameters
    ----------
    data : the shared data folder
    cache : folder for resampled CTs and phantoms
    """
    return Bank(nodules=side(data, load_split().train), scans=tuple(_scans(recipe, data, cache, tell)))


def side(data: Path, patients: Iterable[str]) -> tuple[Nodule, ...]:
    """The nodules of some patients."""
    chosen = set(patients)
    return tuple(nodule for nodule in luna16.load(data / "luna16_nodules") if nodule.patient_id in chosen)


def load_split() -> Split:
    """The committed split."""
    return splits.load(SPLIT)


def begin(recipe: Recipe, data: Path, folder: Path) -> None:
    """Write `run.json`; a run that is taken up again must have the same recipe and data.

    Raises
    ------
    ValueError : the folder holds another run
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = describe(recipe, data)
    path = folder / RUN
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if any(before[key] != about[key] for key in ("recipe", "data_sha256", "split_sha256")):
            raise ValueError(f"{folder} holds a run of another recipe or of other data")
        return
    path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def note(folder: Path, more: Mapping[str, Any]) -> None:
    """Add to `run.json`."""
    path = folder / RUN
    about = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**about, **more}, indent=2) + "\n", encoding="utf-8")


def recipe_of(folder: Path) -> Recipe:
    """The recipe that a run was made by."""
    about = json.loads((folder / RUN).read_text(encoding="utf-8"))
    return RECIPES[about["recipe"]["name"]]()


def describe(recipe: Recipe, data: Path) -> dict[str, Any]:
    """What a run was made from, as JSON."""
    return {
        "recipe": json.loads(json.dumps(dataclasses.asdict(recipe))),
        "seed": recipe.seed,
        "data_sha256": luna16.fingerprint(data / "luna16_nodules"),
        "split_sha256": load_split().sha256,
        "commit": _commit(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }


def _scans(recipe: Recipe, data: Path, cache: Path, tell: Callable[[str], None]) -> Iterable[Scan]:
    cache.mkdir(parents=True, exist_ok=True)
    names = [f"phantom-{seed}" for seed in recipe.phantoms]
    for seed, name in zip(recipe.phantoms, names, strict=True):
        if not (cache / f"{name}.npz").exists():
            tell(name)
            scans.save(scans.phantom_scan(phantom.make(seed)), cache / f"{name}.npz")
    if recipe.phantoms and not list(cache.glob("background-*.npz")):
        for number, scan in enumerate(scans.background_scans(data / "ct")):
            tell(scan.name)
            scans.save(scan, cache / f"background-{number}.npz")
    return [
        scans.read(path) for path in [*sorted(cache.glob("background-*.npz")), *(cache / f"{n}.npz" for n in names)]
    ]


def _commit() -> str:
    answer = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or "unknown"
