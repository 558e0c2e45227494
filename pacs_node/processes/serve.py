"""The process that receives: the SCP, the index of what it receives, and the sweep. Several may share one database."""

from __future__ import annotations

import logging
import threading
from typing import Any

from pacs_node import log
from pacs_node.archive.queries import studies
from pacs_node.config import Config
from pacs_node.dimse import scp
from pacs_node.domain.instance import Receipt
from pacs_node.errors import BrokerUnavailable, DatabaseUnavailable
from pacs_node.node import Node, build
from pacs_node.steps.receive import Receiver
from pacs_node.steps.reindex import reindex
from pacs_node.steps.sweep import sweep
from pacs_node.work.app import celery_app, ring


def serve(config: Config, stop: threading.Event) -> None:
    """Receive and sweep until `stop` is set; then finish what is being received and index it.

    Raises
    ------
    DatabaseUnavailable, StorageFailed : at the start
    """
    node = build(config)
    reindex(node)
    receiver = Receiver(node.files, record=lambda receipts: _record(node, receipts), now=node.now)
    server = scp.serve(_settings(config), receiver, _on_event)
    log.event("serving", port=server.port, called_ae_title=config.scp.ae_title)
    try:
        _sweep_until(node, stop)
    finally:
        server.stop()
        receiver.close()
        node.database.close()


def _sweep_until(node: Node, stop: threading.Event) -> None:
    app = celery_app(node.config)
    while not stop.wait(node.config.work.sweep_s):
        try:
            ring(app, sweep(node))
        except (DatabaseUnavailable, BrokerUnavailable) as error:
            log.event("sweep_failed", level=logging.WARNING, code=error.code)


def _record(node: Node, receipts: tuple[Receipt, ...]) -> None:
    with node.database.transaction() as tx:
        studies.record_receipts(tx, receipts, node.config.settle.quiet_for)


def _on_event(name: str, values: dict[str, Any]) -> None:
    log.event(name, **values)


def _settings(config: Config) -> scp.ScpSettings:
    return scp.ScpSettings(
        ae_title=config.scp.ae_title,
        host=config.scp.host,
        port=config.scp.port,
        maximum_associations=config.scp.maximum_associations,
        maximum_pdu_bytes=config.scp.maximum_pdu_bytes,
        callers=tuple(scp.Caller(ae_title=c.ae_title, addresses=c.addresses) for c in config.scp.callers),
    )
