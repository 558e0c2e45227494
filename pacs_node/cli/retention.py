"""`pulmonode retention`: what is kept how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from pacs_node.archive.files import ResultFile
from pacs_node.cli.options import AsJson, ConfigFile, opened
from pacs_node.domain.retention import ADVICE, WHY, Holding
from pacs_node.printing import say, show_json, show_rows
from pacs_node.steps.retain import left_behind, plan_retention, remove_left_behind, run_retention

app = typer.Typer(no_args_is_help=True, help="What is kept how long, and what goes.")


@app.command()
def plan(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """What `retention run` would delete now, and why the rest stays; deletes nothing."""
    node = opened(config)
    found, files = plan_retention(node), left_behind(node)
    stay = [holding for holding in found.holdings if holding.cause is None]
    facts = _facts(found.leaving, files) | {
        "stays": [_row(holding) for holding in stay],
        "disk": {
            "used_bytes": found.disk.used_bytes,
            "available_bytes": found.disk.available_bytes,
            "shortfall_bytes": found.shortfall_bytes,
        },
    }
    if as_json:
        show_json(facts)
        return
    show_rows(facts["stays"], as_json=False, title="What stays", empty="Nothing stays.")
    show_rows(facts["goes"], as_json=False, title="What goes", empty="Nothing goes.")
    say(f"Of {_size(found.disk.used_bytes + found.disk.available_bytes)}, {_size(found.disk.used_bytes)} are in use.")
    _sum_up(found.leaving, files, "would be deleted")
    if found.shortfall_bytes:
        say(f"The disk stays {_size(found.shortfall_bytes)} above its low watermark: {ADVICE}.")


@app.command()
def run(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Delete what may be deleted now; `node serve` does so by itself every ten minutes."""
    node = opened(config)
    gone, files = run_retention(node), remove_left_behind(node)
    facts = _facts(gone, files)
    if as_json:
        show_json(facts)
        return
    show_rows(facts["goes"], as_json=False, title="What was deleted", empty="Nothing was to be deleted.")
    _sum_up(gone, files, "were deleted")


def _facts(goes: Sequence[Holding], files: Sequence[ResultFile]) -> dict[str, Any]:
    return {
        "goes": [_row(holding) for holding in goes],
        "left_behind": {"files": len(files), "bytes": sum(file.size_bytes for file in files)},
    }


def _row(holding: Holding) -> dict[str, Any]:
    why = [f"{reason.text} [{reason.code}]" for reason in holding.reasons]
    return {
        "study_instance_uid": holding.study_instance_uid,
        "what": holding.kind,
        "files": holding.files,
        "bytes": holding.size_bytes,
        "since": holding.since,
        "why": why if holding.cause is None else [f"{WHY[holding.cause]} [{holding.cause}]"],
    }


def _sum_up(goes: Sequence[Holding], files: Sequence[ResultFile], did: str) -> None:
    count = sum(holding.files for holding in goes)
    say(f"{count} files of studies ({_size(sum(holding.size_bytes for holding in goes))}) {did},")
    say(f"and {len(files)} that nothing refers to ({_size(sum(file.size_bytes for file in files))}).")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB"
