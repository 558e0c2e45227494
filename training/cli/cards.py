"""`pulmonode-train cards`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.cards import cards
from training.cli.options import console


def write_cards(
    repository: Annotated[Path, typer.Argument(help="The model repository.")] = Path("model_repository"),
    out: Annotated[Path, typer.Option(help="Folder of the cards.")] = Path("deploy/docs/models"),
) -> None:
    """Write a model card for the active version of every system."""
    out.mkdir(parents=True, exist_ok=True)
    for system, text in cards(repository).items():
        (out / f"{system}.md").write_text(text, encoding="utf-8")
        console.print(out / f"{system}.md")
