"""The options that many verbs share, and the node or configuration that they lead to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pacs_node import config, log
from pacs_node.node import Node, build

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="PULMONODE_CONFIG", help="TOML file; deploy/node.example.toml explains it."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option(min=1, help="How many to show, newest first.")]
Directory = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with DICOM files, at any depth.")]


def configured(path: Path | None) -> config.Config:
    """The configuration in force, with the log set up."""
    settings = config.load(path, os.environ)
    log.configure(settings.log.level)
    return settings


def opened(path: Path | None) -> Node:
    """The node of that configuration."""
    return build(configured(path))
