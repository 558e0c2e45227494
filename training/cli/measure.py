"""`pulmonode-train evaluate` and `export`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from training import catalogue, checkpoint, runs
from training.cli.options import CACHE, CacheFolder, DataFolder, RunFolder, Threads, console, needing, sources_of_run
from training.data.slices import middle, normalised
from training.errors import NotEvaluated
from training.evaluation import pages
from training.export import release
from training.halves import round_weights
from training.served import Served
from training.sources import Sources
from training.system import Modules, Recipe, System
from training.systems.jnsc import inputs as windows
from training.systems.jnsc.contracts import ROI

GOLDEN_SLICES = 3
WINDOW = (1, ROI, ROI, ROI)


def evaluate(folder: RunFolder, data: DataFolder, cache: CacheFolder = CACHE, threads: Threads = 1) -> None:
    """Measure a run on validation patients through the code that serves; writes figures, a table and pictures."""
    torch.set_num_threads(threads)
    console.print(measure(folder, sources_of_run(folder, data, cache)))
    console.print(f"Next: pulmonode-train export {folder} RELEASE --data {data}")


def measure(folder: Path, own: Sources) -> str:
    """Measure a run, write what came of it into its folder, and give it as a table."""
    recipe, system, model, step = trained(folder, own)
    with needing(recipe, own):
        outcome = recipe.evaluate(own, model, own.tell)
    figures = {"recipe": recipe.name, "steps": step, "of_steps": system.steps, **outcome.figures, **runs.said(own)}
    table = pages.table(figures)
    (folder / "evaluation.md").write_text(table, encoding="utf-8")
    if outcome.cases:
        pages.draw(outcome.cases, folder / "cases.png", own.remark)
    (folder / runs.EVALUATION).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return table


def export(
    folder: RunFolder,
    target: Annotated[Path, typer.Argument(metavar="RELEASE", help="A new folder for `pulmonode model publish`.")],
    data: DataFolder,
    cache: CacheFolder = CACHE,
) -> None:
    """Write a run's models with their contracts and golden cases, after proving that ONNX and torch agree."""
    torch.set_num_threads(1)
    if not (folder / runs.EVALUATION).exists():
        raise NotEvaluated(f"{folder} has no figures yet: pulmonode-train evaluate {folder} --data {data}")
    own = sources_of_run(folder, data, cache)
    recipe, system, model, _ = trained(folder, own)
    figures = json.loads((folder / runs.EVALUATION).read_text(encoding="utf-8"))
    served = runs.labelled(system.calibrated(system.served(model), figures), own)
    proofs = release(
        served,
        target,
        real=_real(own, served),
        parity=recipe.parity,
        trained_on=runs.read(folder),
        evaluation=pages.without_cases(figures),
    )
    for proof in proofs:
        console.print(
            f"{proof.model}: {proof.cases} golden cases, torch and ONNX differ by at most {proof.difference:.2g}"
        )
    console.print(f"Next: pulmonode model publish {target}")


def trained(folder: Path, own: Sources) -> tuple[Recipe, System, Modules, int]:
    """A run's recipe, its system, the modules with weights as they are served, and how many steps they were trained."""
    recipe = catalogue.recipe(runs.read(folder)["recipe"]["name"])
    with needing(recipe, own):
        system = recipe.system(own)
    state = checkpoint.load(system, recipe.settings.seed, folder)
    if not state.step:
        raise NotEvaluated(f"{folder} holds no trained weights yet: pulmonode-train fit {recipe.name} {folder}")
    model = checkpoint.averaged(system, state, is_average=recipe.settings.average > 0)
    round_weights(model)
    return recipe, system, model, state.step


def _real(own: Sources, served: Sequence[Served]) -> dict[tuple[int, ...], np.ndarray]:
    """Some slices or one window of validation patients, by the shape that models take them in."""
    if WINDOW in {spec.shape for one in served for spec in one.contract.inputs}:
        nodule = own.luna16_nodules(own.luna16_split.validation)[0]
        return {WINDOW: windows.normalised(windows.continued(nodule).volume_hu).numpy()[None, None]}
    some = own.examples(GOLDEN_SLICES)
    images = normalised(middle(np.stack([one.image_hu for one in some])))[:, None]
    return {images.shape[1:]: images}
