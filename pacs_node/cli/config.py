"""`pulmonode config`: what is configured."""

from __future__ import annotations

import os

import typer

from pacs_node import config as settings
from pacs_node.cli.options import ConfigFile
from pacs_node.effective import Sources, shown
from pacs_node.parsing import read

app = typer.Typer(no_args_is_help=True, help="What is configured.")


@app.callback()
def configuration() -> None:
    """What is configured."""


@app.command()
def show(config: ConfigFile = None) -> None:
    """Print the configuration in force as TOML: every value, where it is from, and no secret."""
    in_force = settings.load(config, os.environ)
    sources = Sources(file=read(config) if config is not None else {}, environment=os.environ)
    typer.echo(shown(in_force, sources), nl=False)
