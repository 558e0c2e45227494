"""`pulmonode-train fit` and `recipes`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from training import catalogue, checkpoint, curves, runs
from training.cli.options import CACHE, CacheFolder, DataFolder, Fold, Threads, console, needing, sources
from training.curves import CurveWriter
from training.loop import Moment
from training.loop import fit as fit_system
from training.place import find_place
from training.sources import Sources
from training.system import Recipe, System

QUIET_S = 30.0
"""Between two lines of progress where nobody watches a terminal."""


def show_recipes() -> None:
    """List the recipes: each a complete training."""
    table = Table("system", "recipe", "what it is", box=None)
    for system in catalogue.SYSTEMS:
        for name, make in catalogue.recipes(system).items():
            table.add_row(system, name, catalogue.purpose(make))
    console.print(table)


def fit(
    recipe: Annotated[str, typer.Argument(help="A recipe; `pulmonode-train recipes` lists them.")],
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of the run; an unfinished one is taken up again.")
    ],
    data: DataFolder,
    fold: Fold = None,
    cache: CacheFolder = CACHE,
    threads: Threads = 1,
    start: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A run whose weights this one begins with, where they fit (fine-tuning)."),
    ] = None,
) -> None:
    """Train a recipe. Stop it with Ctrl-C; the same command goes on where it stopped.

    On several GPUs: torchrun --nproc-per-node N -m training.cli fit RECIPE RUN --data DIR
    """
    torch.set_num_threads(threads)
    train_recipe(catalogue.recipe(recipe), folder, sources(data, cache, fold), start=start)
    console.print(f"Next: pulmonode-train evaluate {folder} --data {data}")


def train_recipe(
    recipe: Recipe,
    folder: Path,
    own: Sources,
    also: Callable[[Moment], None] = lambda moment: None,
    *,
    start: Path | None = None,
) -> None:
    """Train a recipe in a folder, shown on the console.

    Parameters
    ----------
    also : told every step; may end the run by raising
    start : a run whose weights this one begins with; it must not know those whom this one validates on
    """
    about = runs.about(recipe, own, folder)
    if start is not None:
        runs.guard(start, own)
        about["start"] = runs.read(start)["recipe"]["name"]
    with needing(recipe, own):
        system = recipe.system(own)
        system.phases[0].batch(0, {})  # what is read late is missed before there is a run
    runs.begin(folder, about, own.patients)
    if start is not None and not (folder / checkpoint.FILE).exists():
        fresh = checkpoint.begin_with(system, recipe.settings.seed, folder, start)
        console.print(f"begins with the weights of {start}; {len(fresh)} have no counterpart there")
    place = find_place()
    console.print(f"{recipe.name} on {place.device} ({place.reason})")
    step = checkpoint.load(system, recipe.settings.seed, folder).step
    writer = CurveWriter(folder / runs.CURVES, step)
    started = time.monotonic()
    with _Display(system, step) as display:

        def watch(moment: Moment) -> None:
            writer(moment)
            display(moment)
            also(moment)

        with needing(recipe, own):
            fit_system(system, recipe.settings, folder, watch, place=place)
    if place.is_first:
        curves.draw(folder / runs.CURVES, folder / runs.PICTURE, own.remark)
        runs.note(folder, {"minutes_of_last_session": round((time.monotonic() - started) / 60, 1)})


class _Display:
    """A bar with the time left, the present losses and the last validation; plain lines where there is no terminal."""

    def __init__(self, system: System, step: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=system.steps, completed=step)
        self._live = Live(self._bar, console=console, refresh_per_second=2)
        self._validation = ""
        self._said = time.monotonic()

    def __enter__(self) -> _Display:
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if console.is_terminal:
            self._live.stop()

    def __call__(self, moment: Moment) -> None:
        self._bar.update(self._task, completed=moment.step, description=moment.phase)
        if moment.figures:
            self._validation = "validation: " + _named(moment.figures)
        losses = _named(moment.losses)
        if console.is_terminal:
            self._live.update(Group(self._bar, losses, self._validation))
        elif moment.figures or time.monotonic() - self._said > QUIET_S:
            self._said = time.monotonic()
            left = self._bar.tasks[0].time_remaining
            console.print(f"{moment.phase} {moment.step} {losses} {self._validation} left {left or 0:.0f} s")


def _named(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in values.items())
