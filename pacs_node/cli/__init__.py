"""`pulmonode <noun> <verb>`: each verb parses, calls one function, prints. Exit codes: 0 ok, 1 failed, 2 usage."""

from __future__ import annotations

import sys

import typer

from inference.errors import InferenceError
from pacs_node.cli import demo, job, model, node, result, rule, series, study
from pacs_node.errors import ConfigInvalid, NodeError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="PulmoNode finds lung nodules in chest CTs that a PACS routes to it, and answers with SEG and SR."
    " Results are for research use.",
)
for name, module in (
    ("node", node),
    ("study", study),
    ("job", job),
    ("rule", rule),
    ("series", series),
    ("result", result),
    ("model", model),
):
    app.add_typer(module.app, name=name)
app.command(name="demo", help=demo.HELP)(demo.demo)

USAGE = 2


def main() -> None:
    """The console script: the only table from an error to an exit code."""
    try:
        app()
    except ConfigInvalid as error:
        _fail(f"{error} [{error.code}]", USAGE)
    except (NodeError, InferenceError) as error:
        _fail(f"{error} [{error.code}]", 1)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"pulmonode: {message}\n")
    sys.exit(code)
