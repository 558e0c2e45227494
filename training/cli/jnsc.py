"""`pulmonode-train`: check data, train, evaluate, export. Each verb parses, calls, prints.

pulmonode-train data check --data DIR
pulmonode-train fit RECIPE RUN --data DIR --cache DIR
pulmonode-train evaluate RUN --data DIR
pulmonode-train export RUN REPOSITORY
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.live import Live

from training import export_jnsc as exporting
from training import refit as refitting
from training import run, state, trainer
from training.data import luna16, splits
from training.evaluation import patches, phantoms, report
from training.model_contract import DETECTION, dense_contract, head_contract
from training.recipes import RECIPES
from training.torch_predictor import TorchPredictor

LOSSES_EVERY = 20
TUNING_SEEDS = (9001, 9002)
"""Phantoms that the operating score is set on: unseen seeds, shapes of the training side."""

UNSEEN_SEEDS = (10_001, 10_002, 10_003, 10_004)

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Train, evaluate and export the models. Offline.")
data_app = typer.Typer(no_args_is_help=True, help="Look at the training data.")
app.add_typer(data_app, name="data")
console = Console()

DataOption = Annotated[Path, typer.Option("--data", help="The folder that holds luna16_nodules and ct.")]


def main() -> None:
    """Entry point of `pulmonode-train`."""
    app()


@data_app.command("check")
def check(data: DataOption) -> None:
    """Read all patches, check the split, and print what there is."""
    split = run.load_split()
    nodules = luna16.load(data / "luna16_nodules")
    splits.guard(split.train, split.validation)
    known = {*split.train, *split.validation, *split.unused}
    missing = {nodule.patient_id for nodule in nodules} - known
    if missing:
        console.print(f"{len(missing)} patients are in no part of the split")
        raise typer.Exit(1)
    for name, part in (("train", split.train), ("validation", split.validation), ("unused", split.unused)):
        count = sum(nodule.patient_id in set(part) for nodule in nodules)
        console.print(f"{name}: {len(part)} patients, {count} nodules")
    console.print(f"data {luna16.fingerprint(data / 'luna16_nodules')}")


@app.command()
def fit(
    recipe: Annotated[str, typer.Argument(help=f"One of {', '.join(RECIPES)}.")],
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of the run; an unfinished one is taken up again.")
    ],
    data: DataOption,
    cache: Annotated[Path, typer.Option(help="Folder for resampled CTs and phantoms.")],
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = 1,
) -> None:
    """Train a recipe."""
    torch.set_num_threads(threads)
    chosen = RECIPES[recipe]()
    run.begin(chosen, data, folder)
    bank = run.training_bank(chosen, data, cache, console.print)
    with (folder / run.LOSSES).open("a", buffering=1, encoding="utf-8") as file, Live(console=console) as live:
        done = trainer.fit(chosen, bank, folder, _Reporter(csv.writer(file), live, chosen.steps))
    if chosen.refit:
        run.note(folder, {"refit": refitting.refit(chosen, bank, done)})
        state.save(done, folder)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="RUN")],
    data: DataOption,
    phantom_count: Annotated[int, typer.Option("--phantoms", min=1, max=len(UNSEEN_SEEDS))] = len(UNSEEN_SEEDS),
) -> None:
    """Measure a run on validation patients and unseen phantoms, through the shipped pipeline."""
    recipe = run.recipe_of(folder)
    split = run.load_split()
    splits.guard(split.train, split.validation)
    network, head = state.averaged(recipe, state.load(recipe, folder))
    predictor = TorchPredictor(network, head)
    detector, classifier = dense_contract(network, {}, {}, DETECTION.operating_score), head_contract(head, {}, {})
    tuning = phantoms.evaluate(TUNING_SEEDS, detector, classifier, predictor, console.print)
    score = report.operating_score(tuning)
    unseen = phantoms.evaluate(UNSEEN_SEEDS[:phantom_count], detector, classifier, predictor, console.print)
    real = patches.evaluate(run.side(data, split.validation), detector, classifier, predictor)
    figures = {
        "state": "trained",
        "steps": state.load(recipe, folder).step,
        "real": report.patch_report(real, score),
        "synthetic": report.phantom_report(unseen, score),
    }
    (folder / run.EVALUATION).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print_json(data=figures)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN")],
    repository: Annotated[Path, typer.Argument(help="The model repository.")],
) -> None:
    """Publish a run as the next version of the models, with its figures, after proving that ONNX and torch agree."""
    recipe = run.recipe_of(folder)
    figures: dict[str, Any] = json.loads((folder / run.EVALUATION).read_text(encoding="utf-8"))
    about = json.loads((folder / run.RUN).read_text(encoding="utf-8"))
    network, head = state.averaged(recipe, state.load(recipe, folder))
    score = figures["real"]["operating_score"]
    published = exporting.publish(
        repository, (network, head), about, figures, operating_score=score, parity=recipe.parity
    )
    for contract in published:
        console.print(f"{contract.model} version {contract.version} {contract.sha256}")


class _Reporter:
    """Shows each step on one line and writes some of them to a file."""

    def __init__(self, table: Any, live: Live, steps: int) -> None:
        self._table, self._live, self._steps = table, live, steps

    def __call__(self, step: int, losses: dict[str, float]) -> None:
        text = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
        self._live.update(f"step {step + 1} of {self._steps}: {text}")
        if (step + 1) % LOSSES_EVERY == 0:
            self._table.writerow([step + 1, *(f"{name}={value:.5f}" for name, value in losses.items())])
