"""`pulmonode result`: check SEG and SR against the CT that they speak of."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pacs_node.cli.options import AsJson
from pacs_node.printing import show_rows
from pacs_node.report import check as checking

app = typer.Typer(no_args_is_help=True, help="Check results.")
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False)]


@app.callback()
def results() -> None:
    """Check results."""


@app.command()
def check(ct_dir: Folder, result_dir: Folder, as_json: AsJson = False) -> None:
    """Check geometry, references, identity, codes and values of results against their CT; exits with 1 on a problem."""
    problems = checking.check_directories(ct_dir, result_dir)
    show_rows([asdict(problem) for problem in problems], as_json=as_json, empty="No problem was found.")
    if problems:
        raise typer.Exit(1)
