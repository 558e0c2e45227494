"""`pulmonode demo`: the main job, once through, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pacs_node import log


def demo(
    ct: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="Folder of a real chest CT.")] = None,
    folder: Annotated[Path, typer.Option(help="Where everything of the demo goes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of the phantom; from 10000 on its nodules were never trained on.")] = 10001,
    timeout_s: Annotated[float, typer.Option(help="How long to wait for the answer.")] = 900.0,
) -> None:
    """Send a chest CT through a node to a PACS, and show what comes back; exits with 1 if nothing does.

    Starts both. Without --ct a synthetic phantom is made and sent.
    """
    from pacs_node.demo.show import run_demo

    log.configure("WARNING")
    if not run_demo(ct, folder, seed, timeout_s):
        raise typer.Exit(1)
