"""Which of the rows that wait for a step goes first: STAT before routine, then senders in turn, then the oldest.

A message only says that there is work; the worker that gets it asks here what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pacs_node.archive import tables
from pacs_node.archive.queries import deliveries
from pacs_node.archive.queries.inserting import insert_missing
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.job import JobState
from pacs_node.domain.study import UNDECIDED


def is_held_back() -> sa.ColumnElement[bool]:
    """Whether a job would revise a result while its study is about to be planned anew: more of it has come.

    So all that comes late, in however many bursts, is in one revision. A first result does not wait for it.
    """
    job, study = tables.job, tables.study.alias()
    is_undecided = sa.exists().where(study.c.id == job.c.study_id, study.c.state.in_(UNDECIDED))
    return sa.and_(job.c.supersedes_job_id.is_not(None), is_undecided)


def next_job(tx: sa.Connection, state: JobState, now: datetime) -> int | None:
    """The most urgent job that is due in a state."""
    job, study, sender = tables.job, tables.study, tables.sender
    rows = job.join(study).outerjoin(sender, sender.c.calling_ae_title == study.c.calling_ae_title)
    due = sa.and_(job.c.state == state, _is_due(job, now), ~is_held_back())
    order = (job.c.is_stat.desc(), sender.c.served_at.asc().nulls_first(), job.c.id)
    return tx.scalar(sa.select(job.c.id).select_from(rows).where(due).order_by(*order).limit(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """What there is of STAT, for those that might give way.

    Parameters
    ----------
    is_waiting : whether a STAT job waits for a worker
    holders : who works on one
    last_routine : of the jobs that are being analysed and not STAT, the last one; None if there is none
    """

    is_waiting: bool
    holders: tuple[str, ...]
    last_routine: int | None


def stat(tx: sa.Connection, now: datetime) -> Stat:
    """STAT jobs that wait or are being analysed."""
    job = tables.job
    waits = sa.and_(job.c.is_stat, job.c.state == JobState.QUEUED, _is_due(job, now), ~is_held_back())
    running = job.c.state == JobState.RUNNING
    return Stat(
        is_waiting=bool(tx.scalar(sa.select(sa.exists().where(waits)))),
        holders=tuple(tx.scalars(sa.select(job.c.lease_holder).where(job.c.is_stat, running))),
        last_routine=tx.scalar(sa.select(sa.func.max(job.c.id)).where(~job.c.is_stat, running)),
    )


def next_delivery(tx: sa.Connection, now: datetime) -> int | None:
    """The most urgent delivery that is due, to a destination that nothing is being sent to."""
    job, delivery = tables.job, tables.delivery
    is_free = ~deliveries.is_busy(delivery.c.destination)
    due = sa.and_(delivery.c.state == DeliveryState.PENDING, _is_due(delivery, now), is_free)
    order = (job.c.is_stat.desc(), delivery.c.attempt, delivery.c.id)
    return tx.scalar(sa.select(delivery.c.id).select_from(delivery.join(job)).where(due).order_by(*order).limit(1))


def serve(tx: sa.Connection, study_id: int, at: datetime) -> None:
    """Note that the sender of a study had its turn."""
    sender, study = tables.sender, tables.study
    title = tx.scalar(sa.select(study.c.calling_ae_title).where(study.c.id == study_id))
    if tx.execute(sa.update(sender).where(sender.c.calling_ae_title == title).values(served_at=at)).rowcount == 0:
        insert_missing(tx, sender, [{"calling_ae_title": title, "served_at": at}])


def _is_due(table: sa.Table, now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(table.c.next_at.is_(None), table.c.next_at <= now)
