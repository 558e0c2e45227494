"""Deliver: one result to one destination, once."""

from __future__ import annotations

import time
from datetime import timedelta

from inference.errors import InferenceError
from pacs_node import log
from pacs_node.archive import records
from pacs_node.archive.queries import deliveries, jobs, machine
from pacs_node.archive.queries.machine import DELIVERIES, Move
from pacs_node.config import Destination
from pacs_node.domain.delivery import DeliveryEvent, DeliveryState
from pacs_node.domain.identifiers import DeliveryId
from pacs_node.domain.retry import DELIVER, delay_s
from pacs_node.errors import ConfigInvalid, NodeError, WorkerLost
from pacs_node.node import Node
from pacs_node.steps.failure import failure_of
from pacs_node.steps.lease import kept, new_holder


def deliver_result(node: Node, delivery_id: DeliveryId) -> None:
    """Send a due delivery; quietly nothing if it is not due (any more).

    A retry sends the same instances with the same UIDs, so a destination that has them already loses nothing.
    """
    holder, now = new_holder(), node.now()
    until = now + timedelta(seconds=node.config.work.lease_s)
    with node.database.transaction() as tx:
        if not deliveries.claim(tx, delivery_id, now, holder, until):
            return
        delivery = deliveries.get(tx, delivery_id)
        stored = jobs.results(tx, delivery.job_id)
    started = time.monotonic()
    try:
        with kept(node, DELIVERIES, delivery_id, holder):
            if delivery.attempt > DELIVER.attempts:
                raise WorkerLost
            node.send(_destination(node, delivery.destination), [node.files.path(item.file_key) for item in stored])
    except Exception as error:  # noqa: BLE001 - the border of the step, see `steps.failure`
        _record_failure(node, delivery, holder, failure_of(error))
        return
    with node.database.transaction() as tx:
        is_current = jobs.results(tx, delivery.job_id) == stored  # else the job was composed anew while this was sent
        event = DeliveryEvent.ACCEPT if is_current else DeliveryEvent.DELAY
        step = Move(row_id=delivery_id, state=DeliveryState.SENDING, event=event, at=node.now(), holder=holder)
        machine.move(tx, DELIVERIES, step, delivered_at=node.now() if is_current else None, attempt=delivery.attempt)
    log.event(
        "result_delivered" if is_current else "result_changed_while_sent",
        delivery_id=delivery_id,
        destination=delivery.destination,
        instances=len(stored),
        duration_s=time.monotonic() - started,
    )


def _destination(node: Node, name: str) -> Destination:
    for destination in node.config.destination:
        if destination.name == name:
            return destination
    raise ConfigInvalid(f"destination {name!r} is no longer in the configuration")


def _record_failure(node: Node, delivery: records.Delivery, holder: str, error: InferenceError | NodeError) -> None:
    wait_s = delay_s(DELIVER, delivery.attempt, node.chance()) if error.retryable else None
    event = DeliveryEvent.FAIL if wait_s is None else DeliveryEvent.DELAY
    now = node.now()
    step = Move(
        row_id=delivery.id,
        state=DeliveryState.SENDING,
        event=event,
        at=now,
        holder=holder,
        code=error.code,
        text=str(error),
    )
    due = {} if wait_s is None else {"next_at": now + timedelta(seconds=wait_s)}
    with node.database.transaction() as tx:
        machine.move(tx, DELIVERIES, step, **due)
    log.event(
        "result_not_delivered",
        delivery_id=delivery.id,
        destination=delivery.destination,
        code=error.code,
        attempt=delivery.attempt,
        next_s=wait_s,
    )
