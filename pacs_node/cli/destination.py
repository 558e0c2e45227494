"""`pulmonode destination`: who takes results, and as what."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pacs_node.archive.queries import support
from pacs_node.cli.options import AsJson, ConfigFile, opened
from pacs_node.config import Destination
from pacs_node.domain.document import CLASS_UID, SR_CLASS_UID
from pacs_node.domain.shipment import roles_of
from pacs_node.node import Node
from pacs_node.printing import say, show_json, show_rows
from pacs_node.steps.shipping import destination_named, probe_destination, shipment_to

app = typer.Typer(no_args_is_help=True, help="Who takes results, and as what.")
Name = Annotated[str, typer.Argument(help="Name of a [[destination]] of the configuration.")]


@app.callback()
def destinations() -> None:
    """Who takes results, and as what."""


@app.command(name="list")
def list_destinations(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """The destinations, their profiles, and what is known of what they take."""
    node = opened(config)
    rows = [_facts(node, destination) for destination in node.config.destination]
    show_rows(rows, as_json=as_json, empty="There is no [[destination]] in the configuration.")


@app.command()
def probe(name: Name, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Ask a destination which documents it takes, without sending any, and remember the answer for deliveries.

    A DICOMweb server cannot be asked: what it refuses is learned when something is sent.
    """
    node = opened(config)
    destination = destination_named(node.config, name)
    refused = probe_destination(node, destination)
    if as_json:
        show_json(_facts(node, destination) | {"refused": sorted(refused)})
        return
    if destination.url:
        say("The server answers. It cannot be asked what it takes; what it refused is forgotten, and tried again.")
        return
    rows = [{"document": kind, "sop_class_uid": uid, "taken": uid not in refused} for kind, uid in _kinds()]
    show_rows(rows, as_json=False, title=f"What {destination.endpoint} takes")
    what = shipment_to(node.config, destination, refused)
    say(f"It will be sent: {', '.join(_name(part.role, part.sr_class) for part in what.parts) or 'nothing'}.")
    for warning in what.warnings:
        say(f"Warning: {warning}.")
    if not what.parts:
        raise typer.Exit(1)


def _facts(node: Node, destination: Destination) -> dict[str, Any]:
    with node.database.transaction() as tx:
        known = support.of(tx, destination.name, destination.endpoint)
    what = shipment_to(node.config, destination, known.refused if known else ())
    return {
        "name": destination.name,
        "endpoint": destination.endpoint,
        "profile": ", ".join(destination.profile),
        "documents": ", ".join(roles_of(destination.profile)),
        "sent": ", ".join(_name(part.role, part.sr_class) for part in what.parts),
        "warnings": "; ".join(what.warnings),
        "probed_at": known.learned_at if known else None,
    }


def _kinds() -> list[tuple[str, str]]:
    reports = [(f"sr ({kind})", uid) for kind, uid in SR_CLASS_UID.items()]
    others: dict[str, list[str]] = {}
    for role, uid in CLASS_UID.items():
        others.setdefault(uid, []).append(role)
    return reports + [(", ".join(roles), uid) for uid, roles in others.items()]


def _name(role: str, sr_class: str | None) -> str:
    return f"{role} ({sr_class})" if sr_class else role
