"""`pulmonode-train reproduce` and `results`."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from training import catalogue, results, runs
from training.budget import Progress, is_hopeless, seconds_of
from training.cli.fit import train_recipe
from training.cli.measure import measure
from training.cli.options import CACHE, CacheFolder, DataFolder, Threads, console, sources
from training.errors import DataLacking
from training.evaluation.luna16_report import FIGURES
from training.loop import Moment
from training.papers import HEADLINES
from training.recipe_json import filled, recipe_as_json
from training.results import Run
from training.sources import Sources
from training.system import Recipe, System

TESTS = "_smoke"
"""What the names of recipes for tests end with."""


class _OutOfTime(Exception):
    """The run will not end within the budget."""


def reproduce(
    system: Annotated[str, typer.Argument(help=f"One of {', '.join(catalogue.SYSTEMS)}.")],
    data: DataFolder,
    budget: Annotated[str, typer.Option(help="Time for all runs together: 90s, 60m, 2h.")] = "60m",
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs; unfinished ones are taken up again.")] = Path(
        "runs"
    ),
    cache: CacheFolder = CACHE,
    threads: Threads = 1,
) -> None:
    """Train and measure a system and the paper's ablation rows, as many as fit; say what was left out.

    The table beside the paper's numbers goes to OUT/SYSTEM.md. A larger budget later goes on with what is missing.
    """
    torch.set_num_threads(threads)
    name = system.replace("-", "_")
    end, own = time.monotonic() + _seconds(budget), sources(data, cache)
    left_out: list[str] = []
    for recipe in _in_order(name):
        folder = out / recipe.name
        if (folder / runs.EVALUATION).exists():
            console.print(f"{recipe.name}: done before")
        elif end - time.monotonic() <= 0:
            left_out.append(f"{recipe.name}: not begun, the budget is used up")
        else:
            left_out += _tried(recipe, folder, own, end)
    content = results.page([_of_today(run) for run in _runs(out, name)], HEADLINES, {name: _recipes(name)})
    content += "".join(f"\nLeft out: {reason}.\n" for reason in left_out)
    (out / f"{name}.md").write_text(content, encoding="utf-8")
    for reason in left_out:
        console.print(f"[yellow]left out[/] {reason}")
    console.print(f"{out / name}.md")


def write_results(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[RUNS]", help="A folder with one folder per run: new figures are recorded."),
    ] = None,
    records: Annotated[Path, typer.Option(help="Where the records are.")] = Path("training/records"),
    out: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("training/RESULTS.md"),
) -> None:
    """Record the runs that were evaluated, and write the page that sets the papers' numbers beside all records."""
    recipes = {system: _recipes(system) for system in catalogue.SYSTEMS}
    new = [run for system in recipes for run in _runs(folder, system)] if folder else []
    records.mkdir(parents=True, exist_ok=True)
    for run in new:
        (records / f"{run.recipe}.json").write_text(results.as_text(run), encoding="utf-8")
    known = [_of_today(results.from_text(path.read_text(encoding="utf-8"))) for path in sorted(records.glob("*.json"))]
    out.write_text(results.page(_sorted(known, recipes), HEADLINES, recipes), encoding="utf-8")
    console.print(f"{out}: {len(known)} runs, {len(new)} of them from {folder or 'no folder'}")


def _recipes(system: str) -> dict[str, Mapping[str, Any]]:
    """A system's recipes as `run.json` has them, by name; tests' recipes are left out."""
    made = {name: make() for name, make in catalogue.recipes(system).items() if not name.endswith(TESTS)}
    return {name: recipe_as_json(recipe) for name, recipe in made.items()}


def _of_today(run: Run) -> Run:
    """A run with the fields that its recipe has got since then, where there still is one of its name."""
    make = catalogue.recipes(run.system).get(run.recipe) if run.system in catalogue.SYSTEMS else None
    if make is None:
        return run
    return dataclasses.replace(run, about={**run.about, "recipe": filled(run.about["recipe"], make())})


def _sorted(known: Sequence[Run], recipes: Mapping[str, Mapping[str, Any]]) -> list[Run]:
    """In the order of their recipes, those without one last."""
    order = [name for system in recipes.values() for name in system]
    return sorted(known, key=lambda run: order.index(run.recipe) if run.recipe in order else len(order))


def _seconds(budget: str) -> float:
    try:
        return seconds_of(budget)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--budget") from error


def _in_order(system: str) -> list[Recipe]:
    """The recipe that counts, then the others as their file has them; tests' recipes are left out."""
    if system not in catalogue.SYSTEMS:
        raise typer.BadParameter(f"{system!r} is none of {', '.join(catalogue.SYSTEMS)}", param_hint="SYSTEM")
    made = [make() for name, make in catalogue.recipes(system).items() if not name.endswith(TESTS)]
    return sorted(made, key=lambda recipe: recipe.name != HEADLINES.get(system))


def _tried(recipe: Recipe, folder: Path, own: Sources, end: float) -> list[str]:
    """Train and measure one recipe; a reason if the time does not allow it."""
    try:
        guard = _Guard(recipe.system(own), end)
    except DataLacking as error:
        return [f"{recipe.name}: {error}"]
    try:
        train_recipe(recipe, folder, own, guard)
    except _OutOfTime:
        return [f"{recipe.name}: stopped at step {guard.step} of {guard.system.steps}, which would take too long"]
    measure(folder, own)
    return []


class _Guard:
    """Watches a run and ends it when its present phase cannot end in time."""

    def __init__(self, system: System, end: float) -> None:
        self.system = system
        self.step = 0
        self._end = end
        self._phase, self._began, self._first = "", 0.0, 0

    def __call__(self, moment: Moment) -> None:
        self.step = moment.step
        now = time.monotonic()
        phase, number = self.system.at(moment.step - 1)
        if moment.phase != self._phase:
            self._phase, self._began, self._first = moment.phase, now, number
        progress = Progress(
            phase_steps_done=number - self._first,
            phase_steps_left=phase.steps - number - 1,
            phase_s=now - self._began,
        )
        if is_hopeless(progress, self._end - now):
            raise _OutOfTime


def _runs(folder: Path, system: str) -> list[Run]:
    """The evaluated runs of a system, each in a folder with its recipe's name."""
    return [
        Run(
            system=system,
            purpose=catalogue.purpose(make),
            about=runs.read(folder / name),
            figures=_json(folder / name / runs.EVALUATION),
            labels=_json(folder / name / runs.LABELS),
            froc=_json(folder / name / FIGURES),
        )
        for name, make in catalogue.recipes(system).items()
        if not name.endswith(TESTS) and (folder / name / runs.EVALUATION).exists()
    ]


def _json(path: Path) -> dict[str, Any]:
    """What a file says; nothing if it is not there."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content
