"""Options that several verbs of `pulmonode-train` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.sources import Sources

console = Console()

DataFolder = Annotated[
    Path, typer.Option("--data", help="The folder that holds luna16_nodules, lidc_slices and ct.", exists=True)
]
CacheFolder = Annotated[
    Path, typer.Option("--cache", help="A folder for what takes long to make: phantoms, resampled CTs, soft masks.")
]
Threads = Annotated[int, typer.Option("--threads", help="Threads of torch; more than the free cores is slower.", min=1)]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]

CACHE = Path(".cache/training")


def sources(data: Path, cache: Path) -> Sources:
    """The data folder, with progress on the console."""
    cache.mkdir(parents=True, exist_ok=True)
    return Sources(data=data, cache=cache, tell=lambda text: console.print(f"[dim]{text}[/]"))
