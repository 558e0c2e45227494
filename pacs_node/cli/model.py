"""`pulmonode model`: what the model repository holds, and which version the node plans with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from inference.errors import ContractInvalid
from inference.registry import ModelRepository, System
from pacs_node.cli.options import AsJson, ConfigFile, configured
from pacs_node.printing import say, show_json, show_rows
from pacs_node.steps import publish as steps
from pacs_node.steps.publish import Live, Switch, Tell

HELP = """The models: list versions, publish a new one, promote it, roll it back.

A published version is loaded beside the active one and proves itself on the live server; `promote` makes new studies
use it, while jobs that were planned with the old one end on the old one. `rollback` goes back in seconds.
"""

app = typer.Typer(no_args_is_help=True, help=HELP)
COLUMNS = ("system", "version", "model", "state", "served")
Name = Annotated[str, typer.Argument(metavar="SYSTEM", help="A system, as `model list` shows it, for example jnsc.")]


@app.callback()
def models() -> None:
    """The models."""


@app.command(name="list")
def list_models(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Every version of every system: its state, whether it is served, and the SHA-256 of its files.

    active: new studies use it. previous: the one before, served for jobs that were planned with it. candidate: served,
    may be promoted. on disk: kept, but not served. damaged: its file is not the one that its contract names.
    """
    repository = ModelRepository(configured(config).models)
    rows = [row for system in repository.systems() for row in _rows(repository, system)]
    if not as_json:
        rows = [{**{key: row[key] for key in COLUMNS}, "sha256": row["sha256"][:12]} for row in rows]
    show_rows(rows, as_json=as_json, empty="The model repository is empty; `pulmonode model publish DIR` fills it.")


@app.command()
def publish(
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", exists=True, file_okay=False, help="What `pulmonode-train export RUN DIR` made."),
    ],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check a release, load it beside the active version and let it prove itself there; it is not yet active.

    Its files, contracts and golden cases are checked before anything is touched. What is refused leaves nothing
    behind, and what is served goes on. Then: `pulmonode model promote SYSTEM`.
    """
    repository, live, tell = _opened(config, as_json=as_json)
    done = steps.publish(repository, live, directory, tell)
    tell(f"Published. To use it: pulmonode model promote {done.system}")
    _show(done, as_json=as_json)


@app.command()
def promote(
    system: Name,
    version: Annotated[int | None, typer.Argument(help="Its number; the newest if it is not given.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a version active, if the live server reproduces its golden cases now.

    Studies that were planned before end on the version that they were planned with. To go back:
    `pulmonode model rollback SYSTEM`.
    """
    repository, live, tell = _opened(config, as_json=as_json)
    _show(steps.promote(repository, live, system, version, tell), as_json=as_json)


@app.command()
def rollback(system: Name, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Make the version that was active before active again, at once and whether or not the server answers."""
    repository, live, tell = _opened(config, as_json=as_json)
    _show(steps.rollback(repository, live, system, tell), as_json=as_json)


def _opened(path: Path | None, *, as_json: bool) -> tuple[ModelRepository, Live, Tell]:
    config = configured(path)
    repository = ModelRepository(config.models)
    name, _, value = config.triton.control_header.partition(":")
    headers = {name.strip().lower(): value.strip()} if value else None
    return repository, steps.live_of(config, repository, headers), _nobody if as_json else say


def _nobody(text: str) -> None:
    """With --json only the outcome is printed."""


def _show(done: Switch, *, as_json: bool) -> None:
    if as_json:
        show_json(asdict(done))


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
                "sha256": _sha256(repository, model, version),
            }


def _state(system: System, version: int, *, is_whole: bool, is_served: bool) -> str:
    """One word for people; the help of `list` explains them."""
    if not is_whole:
        return "damaged"
    if version == system.active:
        return "active"
    if version in system.before[-1:]:
        return "previous"
    return "candidate" if is_served else "on disk"


def _sha256(repository: ModelRepository, model: str, version: int) -> str:
    try:
        return repository.contract(model, version).sha256
    except ContractInvalid:
        return ""
