"""`pulmonode <noun> <verb>`: each verb parses, calls one function, prints. Exit codes: 0 ok, 1 failed, 2 usage.

A verb imports what it calls when it is called: to import everything takes longer than most verbs do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from inference.errors import InferenceError
from pacs_node.errors import ConfigInvalid, NodeError

NOUNS = ("node", "config", "study", "job", "rule", "series", "result", "destination", "retention", "model", "demo")
USAGE = 2


def main() -> None:
    """The console script: the only table from an error to an exit code."""
    nouns = [noun for noun in NOUNS if sys.argv[1:2] == [noun]]
    try:
        command_line(nouns or NOUNS)()
    except ConfigInvalid as error:
        _fail(f"{error} [{error.code}]", USAGE)
    except (NodeError, InferenceError) as error:
        _fail(f"{error} [{error.code}]", 1)


def command_line(nouns: Sequence[str] = NOUNS) -> typer.Typer:
    """The commands of these nouns; only their modules are imported."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(pulmonode)
    for noun in nouns:
        module = import_module(f"{__name__}.{noun}")
        if noun == "demo":
            app.command()(module.demo)
        else:
            app.add_typer(module.app, name=noun)
    return app


def pulmonode() -> None:
    """PulmoNode finds lung nodules in chest CTs that a PACS routes to it, and answers with SEG and SR.

    Results are for research use.
    """


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"pulmonode: {message}\n")
    sys.exit(code)
