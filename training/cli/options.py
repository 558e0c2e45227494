"""Options that several verbs of `pulmonode-train` share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from training import runs
from training.data.folds import COUNT
from training.errors import DataLacking
from training.sources import Sources
from training.system import Recipe

console = Console()

DataFolder = Annotated[
    Path, typer.Option("--data", help="A pack of `pulmonode-train data pack`, or the shared data.", exists=True)
]
CacheFolder = Annotated[
    Path, typer.Option("--cache", help="A folder for what takes long to make: phantoms, resampled CTs, soft masks.")
]
Threads = Annotated[int, typer.Option("--threads", help="Threads of torch; more than the free cores is slower.", min=1)]
Fold = Annotated[
    int | None, typer.Option(help="Validate on this fold and train on the others, not on the split.", min=1, max=COUNT)
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]

CACHE = Path(".cache/training")


def sources(data: Path, cache: Path, fold: int | None = None) -> Sources:
    """The data folder, with progress on the console."""
    cache.mkdir(parents=True, exist_ok=True)
    return Sources(data=data, cache=cache, fold=fold, tell=lambda text: console.print(f"[dim]{escape(text)}[/]"))


def sources_of_run(run: Path, data: Path, cache: Path) -> Sources:
    """The data folder to measure a run on: with the run's fold, and none of its training patients to validate on.

    Raises
    ------
    OtherRun : the folder holds no run
    SplitBroken : it was trained on patients who validate here
    """
    own = sources(data, cache, runs.read(run).get("fold"))
    runs.guard(run, own)
    return own


@contextmanager
def needing(recipe: Recipe, own: Sources) -> Iterator[None]:
    """What a recipe lacks is said with its name and the folder's.

    Raises
    ------
    DataLacking : from what happens within, with both names
    """
    try:
        yield
    except DataLacking as error:
        raise DataLacking(f"{recipe.name} cannot be trained or measured on {own.data}: {error}") from error
