"""`pulmonode model`: what the model repository holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from inference.registry import ModelRepository, System
from pacs_node.cli.options import AsJson, ConfigFile, configured
from pacs_node.printing import show_rows

app = typer.Typer(no_args_is_help=True, help="The model repository.")


@app.callback()
def models() -> None:
    """The model repository."""


@app.command(name="list")
def list_models(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Every system with its versions: which one is active, which are served, and whether their files are whole."""
    repository = ModelRepository(configured(config).models)
    rows = [row for system in repository.systems() for row in _rows(repository, system)]
    if not as_json:
        rows = [{**row, "sha256": row["sha256"][:12]} for row in rows]
    show_rows(rows, as_json=as_json, empty="The model repository is empty.")


def _rows(repository: ModelRepository, system: System) -> Iterator[dict[str, Any]]:
    for version in sorted(system.versions, reverse=True):
        for model in system.members(version):
            is_whole = repository.is_whole(model, version)
            is_served = version in repository.served_versions(model)
            yield {
                "system": system.name,
                "version": version,
                "model": model,
                "state": _state(system, version, is_whole=is_whole, is_served=is_served),
                "active": version == system.active,
                "served": is_served,
                "file_is_whole": is_whole,
                "sha256": repository.contract(model, version).sha256,
            }


def _state(system: System, version: int, *, is_whole: bool, is_served: bool) -> str:
    """One word for people."""
    if not is_whole:
        return "damaged"
    if version == system.active:
        return "active"
    if version in system.before[-1:]:
        return "previous"
    return "candidate" if is_served else "on disk"
