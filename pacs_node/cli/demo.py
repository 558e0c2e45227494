"""`pulmonode demo`: the main job, once through, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pacs_node import log
from pacs_node.demo.show import run_demo

HELP = (
    "Start a PACS and a node, send a chest CT as a scanner would, and show what comes back: a table of findings, SEG,"
    " SR and pictures. Without --ct a synthetic phantom is made and sent."
)


def demo(
    ct: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="Folder of a real chest CT.")] = None,
    folder: Annotated[Path, typer.Option(help="Where everything of the demo goes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of the phantom; from 10000 on its nodules were never trained on.")] = 10001,
    timeout_s: Annotated[float, typer.Option(help="How long to wait for the answer.")] = 900.0,
) -> None:
    """Run the demo; exits with 1 if the answer did not arrive."""
    log.configure("WARNING")
    if not run_demo(ct, folder, seed, timeout_s):
        raise typer.Exit(1)
