"""Deliveries: one result to one destination."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from pacs_node.archive import records, tables
from pacs_node.archive.queries.machine import DELIVERIES, Move, move, record
from pacs_node.domain.delivery import DeliveryEvent, DeliveryState
from pacs_node.domain.identifiers import DeliveryId, JobId
from pacs_node.domain.job import JobState
from pacs_node.errors import NotFound


def create(tx: sa.Connection, job_id: JobId, destinations: Sequence[str], at: datetime) -> tuple[DeliveryId, ...]:
    """Make every destination of a job due for its (new) result; deliveries that exist are sent again."""
    existing = {delivery.destination: delivery for delivery in of_job(tx, job_id)}
    ids = []
    for destination in destinations:
        delivery = existing.get(destination)
        if delivery is None:
            ids.append(_inserted(tx, job_id, destination, at))
        elif delivery.state in (DeliveryState.DELIVERED, DeliveryState.FAILED):
            step = Move(row_id=delivery.id, state=delivery.state, event=DeliveryEvent.RETRY, at=at)
            move(tx, DELIVERIES, step, attempt=0)
            ids.append(delivery.id)
    return tuple(ids)


def supersede(tx: sa.Connection, job_id: JobId, at: datetime) -> None:
    """Give up the deliveries of a result that were not sent yet, because a newer result takes its place."""
    for delivery in of_job(tx, job_id):
        if delivery.state is DeliveryState.PENDING:
            move(tx, DELIVERIES, Move(row_id=delivery.id, state=delivery.state, event=DeliveryEvent.SUPERSEDE, at=at))


def claim(tx: sa.Connection, delivery_id: DeliveryId, at: datetime, holder: str, until: datetime) -> bool:
    """Take a due delivery under a lease; False if it is not pending (any more) or its time has not come."""
    delivery = get(tx, delivery_id)
    if delivery.state is not DeliveryState.PENDING or (delivery.next_at is not None and delivery.next_at > at):
        return False
    if _is_outdated(tx, delivery.job_id):
        supersede(tx, delivery.job_id, at)
        return False
    step = Move(row_id=delivery_id, state=delivery.state, event=DeliveryEvent.SEND, at=at)
    return move(tx, DELIVERIES, step, attempt=delivery.attempt + 1, lease_holder=holder, lease_until=until)


def _is_outdated(tx: sa.Connection, job_id: JobId) -> bool:
    """Whether a newer result of the study is there: an old one must not leave after it."""
    job = tables.job
    newer = sa.and_(job.c.supersedes_job_id == job_id, job.c.state == JobState.DONE)
    return tx.scalar(sa.select(job.c.id).where(newer).limit(1)) is not None


def get(tx: sa.Connection, delivery_id: DeliveryId) -> records.Delivery:
    """One delivery; raises NotFound."""
    row = tx.execute(sa.select(tables.delivery).where(tables.delivery.c.id == delivery_id)).mappings().one_or_none()
    if row is None:
        raise NotFound("there is no such delivery")
    return _delivery(row)


def of_job(tx: sa.Connection, job_id: JobId) -> tuple[records.Delivery, ...]:
    """The deliveries of a job, by destination."""
    table = tables.delivery
    rows = tx.execute(sa.select(table).where(table.c.job_id == job_id).order_by(table.c.destination)).mappings()
    return tuple(_delivery(row) for row in rows)


def _inserted(tx: sa.Connection, job_id: JobId, destination: str, at: datetime) -> DeliveryId:
    row = {"job_id": job_id, "destination": destination, "state": DeliveryState.PENDING, "attempt": 0}
    key = tx.execute(sa.insert(tables.delivery).values(row)).inserted_primary_key
    assert key is not None
    first = Move(row_id=key[0], state=DeliveryState.PENDING, event=DeliveryEvent.RETRY, at=at)
    record(tx, DELIVERIES, first, state=DeliveryState.PENDING)
    return DeliveryId(key[0])


def _delivery(row: sa.RowMapping) -> records.Delivery:
    return records.Delivery(
        id=DeliveryId(row["id"]),
        job_id=JobId(row["job_id"]),
        destination=row["destination"],
        state=DeliveryState(row["state"]),
        attempt=row["attempt"],
        next_at=row["next_at"],
        delivered_at=row["delivered_at"],
    )
