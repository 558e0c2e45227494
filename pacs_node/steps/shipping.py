"""What destinations are sent, by their profiles and by what is known of what they take."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pacs_node.archive.queries import deliveries, support
from pacs_node.config import Config, Destination
from pacs_node.domain.document import CLASS_UIDS, SrClass
from pacs_node.domain.shipment import DEFAULT_PROFILE, Part, Shipment, shipment
from pacs_node.errors import ConfigInvalid
from pacs_node.node import Node


def destination_named(config: Config, name: str) -> Destination:
    """The destination of that name; raises ConfigInvalid."""
    for destination in config.destination:
        if destination.name == name:
            return destination
    known = ", ".join(item.name for item in config.destination) or "none"
    raise ConfigInvalid(f"there is no destination {name!r} in the configuration, but {known}")


def parts_for(tx: Any, config: Config, destinations: Sequence[str]) -> tuple[Part, ...]:
    """SEG and report, which every result has, and what these destinations are sent as far as is known."""
    known = [item for item in config.destination if item.name in destinations]
    record = shipment(DEFAULT_PROFILE, SrClass(config.report.sr_class), ())
    shipments = [record, *(shipment_to(config, item, refused_by(tx, item) or ()) for item in known)]
    return tuple(sorted({part for one in shipments for part in one.parts}))


def shipment_to(config: Config, destination: Destination, refused: Collection[str]) -> Shipment:
    """What a destination is sent that refuses these SOP classes."""
    return shipment(destination.profile, SrClass(config.report.sr_class), refused)


def refused_by(tx: Any, destination: Destination) -> tuple[str, ...] | None:
    """The SOP classes that a destination is known to refuse; None if it was never asked."""
    known = support.of(tx, destination.name, destination.endpoint)
    return None if known is None else known.refused


def probe_destination(node: Node, destination: Destination) -> frozenset[str]:
    """Ask a destination what it takes, and remember what it does not; it is up, so what waited for it may follow.

    Raises
    ------
    NodeError : it cannot be reached; what was known stays
    """
    refused = node.probe(destination, CLASS_UIDS)
    with node.database.transaction() as tx:
        support.learn(tx, destination.name, destination.endpoint, refused, node.now())
        deliveries.release(tx, destination.name)
    return refused


def learn_refused(node: Node, destination: Destination, sop_class_uid: str) -> None:
    """Remember one more SOP class that a destination refuses."""
    with node.database.transaction() as tx:
        support.refuse(tx, destination.name, destination.endpoint, sop_class_uid, node.now())
