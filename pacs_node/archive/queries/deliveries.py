"""Deliveries: one result to one destination."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from pacs_node.archive import records, tables
from pacs_node.archive.queries.machine import DELIVERIES, FRESH, Move, move, record
from pacs_node.domain.commitment import Reference
from pacs_node.domain.delivery import ACCEPTED, DeliveryEvent, DeliveryState
from pacs_node.domain.identifiers import DeliveryId, JobId
from pacs_node.domain.job import FINISHED
from pacs_node.errors import NotFound

CLAIMING = 7042
"""Class of the advisory locks of PostgreSQL, one for each destination."""


def create(tx: sa.Connection, job_id: JobId, destinations: Sequence[str], at: datetime) -> tuple[DeliveryId, ...]:
    """Make every destination of a job due for its (new) result; deliveries that exist are sent again."""
    existing = {delivery.destination: delivery for delivery in of_job(tx, job_id)}
    ids = []
    for destination in destinations:
        delivery = existing.get(destination)
        if delivery is None:
            ids.append(_inserted(tx, job_id, destination, at))
        elif delivery.state in ACCEPTED | {DeliveryState.FAILED}:
            step = Move(row_id=delivery.id, state=delivery.state, event=DeliveryEvent.RETRY, at=at)
            move(tx, DELIVERIES, step, **FRESH, resends=0)
            ids.append(delivery.id)
    return tuple(ids)


def supersede(tx: sa.Connection, job_id: JobId, at: datetime) -> None:
    """Give up the deliveries of a result that were not sent yet, because a newer result takes its place."""
    for delivery in sorted(of_job(tx, job_id), key=lambda delivery: delivery.id):
        if delivery.state is DeliveryState.PENDING:
            move(tx, DELIVERIES, Move(row_id=delivery.id, state=delivery.state, event=DeliveryEvent.SUPERSEDE, at=at))


def claim(tx: sa.Connection, delivery_id: DeliveryId, at: datetime, holder: str, until: datetime) -> bool:
    """Take a due delivery under a lease; False if it is not pending (any more) or its time has not come.

    Nor is it taken while another one is being sent to the same destination: one that hangs, hangs one worker.
    """
    delivery = get(tx, delivery_id)
    if delivery.state is not DeliveryState.PENDING or (delivery.next_at is not None and delivery.next_at > at):
        return False
    if _is_outdated(tx, delivery.job_id):
        supersede(tx, delivery.job_id, at)
        return False
    _lock_destination(tx, delivery.destination)
    if tx.scalar(sa.select(is_busy(delivery.destination))):
        return False
    table = tables.delivery
    is_rung = sa.or_(table.c.id == delivery_id, table.c.rung_at.is_not(None))
    _update(tx, sa.and_(_waits_for(delivery.destination), is_rung), rung_at=None)  # the turn of others comes after it
    step = Move(row_id=delivery_id, state=delivery.state, event=DeliveryEvent.SEND, at=at)
    lease = {"lease_holder": holder, "lease_until": until}
    return move(tx, DELIVERIES, step, attempt=delivery.attempt + 1, is_held=False, **lease)


def is_busy(destination: str | sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether something is being sent to a destination."""
    other = tables.delivery.alias()
    return sa.exists().where(other.c.destination == destination, other.c.state == DeliveryState.SENDING)


def ring_due(tx: sa.Connection, now: datetime, again_before: datetime) -> tuple[DeliveryId, ...]:
    """One delivery for every destination that something is due for, and mark it as rung for.

    None for a destination that something is being sent to, or that was rung for since `again_before`: as long as one
    goes after the other, one message is enough.
    """
    table, other = tables.delivery, tables.delivery.alias()
    is_waiting = sa.and_(other.c.state == DeliveryState.PENDING, other.c.rung_at >= again_before)
    is_rung = sa.exists().where(other.c.destination == table.c.destination, is_waiting)
    is_due = sa.and_(table.c.state == DeliveryState.PENDING, sa.or_(table.c.next_at.is_(None), table.c.next_at <= now))
    query = sa.select(sa.func.min(table.c.id)).where(is_due, ~is_rung, ~is_busy(table.c.destination))
    ids = tuple(DeliveryId(i) for i in sorted(tx.scalars(query.group_by(table.c.destination))))
    _update(tx, table.c.id.in_(ids), rung_at=now)
    return ids


def _lock_destination(tx: sa.Connection, destination: str) -> None:
    """Let nobody else take a delivery to this destination until the transaction ends; SQLite has one writer anyway."""
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(CLAIMING, sa.func.hashtext(destination))))


def _is_outdated(tx: sa.Connection, job_id: JobId) -> bool:
    """Whether a newer result of the study is there: an old one must not leave after it."""
    job, mine = tables.job, tables.job.alias()
    newer = sa.and_(job.c.supersedes_job_id == job_id, job.c.state.in_(FINISHED))
    later = sa.or_(mine.c.finished_at.is_(None), job.c.finished_at > mine.c.finished_at)
    query = sa.select(job.c.id).join(mine, mine.c.id == job_id).where(newer, later).limit(1)
    return tx.scalar(query) is not None


def hold(tx: sa.Connection, destination: str, until: datetime) -> None:
    """Let everything that waits for a destination wait at least so long: it was just found to be down."""
    table = tables.delivery
    sooner = sa.or_(table.c.next_at.is_(None), table.c.next_at < until)
    _update(tx, sa.and_(_waits_for(destination), sooner), next_at=until, is_held=True)


def release(tx: sa.Connection, destination: str) -> None:
    """Let everything that was held back for a destination be sent now: it was just found to be up."""
    held = sa.and_(_waits_for(destination), tables.delivery.c.is_held.is_(True))
    _update(tx, held, next_at=None, is_held=False, rung_at=None)


def failures(tx: sa.Connection, destination: str) -> int:
    """How often the unluckiest of the deliveries that wait for a destination was tried."""
    return tx.scalar(sa.select(sa.func.max(tables.delivery.c.attempt)).where(_waits_for(destination))) or 0


def _held_until(tx: sa.Connection, destination: str) -> datetime | None:
    """When a destination that is down is tried again; None if it is not known to be."""
    held = sa.and_(_waits_for(destination), tables.delivery.c.is_held.is_(True))
    until: datetime | None = tx.scalar(sa.select(sa.func.min(tables.delivery.c.next_at)).where(held))
    return until


def _update(tx: sa.Connection, condition: sa.ColumnElement[bool], **values: object) -> None:
    """Update rows after locking them in the order that everybody locks them in."""
    table = tables.delivery
    ids = list(tx.scalars(sa.select(table.c.id).where(condition).order_by(table.c.id).with_for_update()))
    if ids:
        tx.execute(sa.update(table).where(table.c.id.in_(ids)).values(values))


def _waits_for(destination: str) -> sa.ColumnElement[bool]:
    table = tables.delivery
    return sa.and_(table.c.destination == destination, table.c.state == DeliveryState.PENDING)


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
    until = _held_until(tx, destination)
    row = {
        "job_id": job_id,
        "destination": destination,
        "state": DeliveryState.PENDING,
        "next_at": until,
        "is_held": until is not None,
    }
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
        strikes=row["strikes"],
        next_at=row["next_at"],
        delivered_at=row["delivered_at"],
        is_held=bool(row["is_held"]),
        sent=tuple(Reference(sop_class_uid=a, sop_instance_uid=b) for a, b in row["sent"] or ()),
        transaction_uid=row["transaction_uid"],
        asks=row["asks"],
        resends=row["resends"],
    )
