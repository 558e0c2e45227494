"""`pulmonode model`: what the model repository holds."""

from __future__ import annotations

import typer

from inference.registry import ModelRepository
from pacs_node.cli.options import AsJson, ConfigFile, configured
from pacs_node.printing import show_rows

app = typer.Typer(no_args_is_help=True, help="The model repository.")


@app.callback()
def models() -> None:
    """The model repository."""


@app.command(name="list")
def list_models(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Every model: its versions, which one is active, and whether its file is the one of the contract."""
    repository = ModelRepository(configured(config).models)
    rows = [
        {
            "model": entry.name,
            "kind": entry.contract.kind,
            "versions": list(entry.versions),
            "active": entry.active,
            "file_is_whole": entry.is_whole,
            "sha256": entry.contract.sha256 if as_json else entry.contract.sha256[:12],
        }
        for entry in repository.models()
    ]
    show_rows(rows, as_json=as_json, empty="The model repository is empty.")
