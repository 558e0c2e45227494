"""The process that receives: the SCP, the index of what it receives, and the sweep. Several may share one database."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any

from pacs_node import log
from pacs_node.config import Config
from pacs_node.dimse import scp
from pacs_node.errors import BrokerUnavailable, DatabaseUnavailable
from pacs_node.node import Node, build
from pacs_node.processes.starting import awaited
from pacs_node.processes.watching import Watch
from pacs_node.steps.commit import CommitmentDesk
from pacs_node.steps.receive import Receiver
from pacs_node.steps.reindex import record_new, reindex
from pacs_node.steps.retain import Housekeeper, leaving
from pacs_node.steps.sweep import sweep
from pacs_node.work.app import celery_app, ring

INDEX_S = 5.0
"""What the index has, at the end, to take what was received; else it is told by the files after the next start."""


def serve(config: Config, stop: threading.Event) -> None:
    """Receive and sweep until `stop` is set; then finish what is being received and index it.

    Raises
    ------
    StorageFailed : at the start
    DatabaseUnavailable : `stop` was set before there was a database
    """
    node = awaited(lambda: build(config), stop)
    awaited(lambda: reindex(node), stop)
    watch = Watch(config, node.audit)
    receiver = Receiver(
        node.files,
        record=lambda receipts: watch.stored(record_new(node, receipts)),
        now=node.now,
        catch_up=lambda: reindex(node),
        is_leaving=awaited(lambda: leaving(node), stop),
    )
    desk = CommitmentDesk(node)
    server = scp.serve(_settings(config), receiver, partial(_on_event, watch), desk=desk)
    watch.start()
    log.event("serving", port=server.port, called_ae_title=config.scp.ae_title)
    try:
        _sweep_until(node, watch, stop)
    finally:
        server.stop()
        desk.close()
        receiver.close(INDEX_S)
        watch.stop()
        node.database.close()


def _sweep_until(node: Node, watch: Watch, stop: threading.Event) -> None:
    app, keeper = celery_app(node.config), Housekeeper(node)
    while not stop.wait(node.config.work.sweep_s):
        watch.tick()
        try:
            ring(app, sweep(node))
            keeper.tick()
        except (DatabaseUnavailable, BrokerUnavailable) as error:
            log.event("sweep_failed", level=logging.WARNING, code=error.code)


def _on_event(watch: Watch, name: str, values: dict[str, Any]) -> None:
    log.event(name, **values)
    watch.happened(name, values)


def _settings(config: Config) -> scp.ScpSettings:
    return scp.ScpSettings(
        ae_title=config.scp.ae_title,
        host=config.scp.host,
        port=config.scp.port,
        maximum_associations=config.scp.maximum_associations,
        maximum_pdu_bytes=config.scp.maximum_pdu_bytes,
        maximum_instance_bytes=config.scp.maximum_instance_bytes,
        connections_per_minute=config.scp.connections_per_minute,
        connection_burst=config.scp.connection_burst,
        tls=config.scp.tls,
        callers=tuple(scp.Caller(ae_title=c.ae_title, addresses=c.addresses) for c in config.scp.callers),
    )
