"""Moving a row through its states: compare-and-set, history in the same transaction, leases with a fencing token.

`move` is the only place that writes a state column. No row updated means that somebody else was first: stop quietly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from pacs_node.archive import tables
from pacs_node.archive.records import Event
from pacs_node.domain.commitment import COMMITMENT
from pacs_node.domain.delivery import DELIVERY
from pacs_node.domain.job import JOB
from pacs_node.domain.study import STUDY
from pacs_node.domain.transitions import advance


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A table with a state column, its history, and the transitions that are allowed."""

    table: sa.Table
    history: sa.Table
    key: str
    transitions: Mapping[tuple[Any, Any], Any]


STUDIES = Machine(table=tables.study, history=tables.study_event, key="study_id", transitions=STUDY)
JOBS = Machine(table=tables.job, history=tables.job_event, key="job_id", transitions=JOB)
DELIVERIES = Machine(table=tables.delivery, history=tables.delivery_event, key="delivery_id", transitions=DELIVERY)
COMMITMENTS = Machine(
    table=tables.commitment, history=tables.commitment_event, key="commitment_id", transitions=COMMITMENT
)

FRESH = {"attempt": 0, "strikes": 0}
"""Values of a row that has all its attempts before it, because what waits now is something new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An event that happens to a row in a state.

    Parameters
    ----------
    row_id, state : the row and the state it must still be in
    event, at : what happens, and when
    holder : token of the lease that the row must still carry; None if the state has no lease
    code, text : why, for the history
    """

    row_id: int
    state: StrEnum
    event: StrEnum
    at: datetime
    holder: str | None = None
    code: str | None = None
    text: str | None = None


def move(tx: sa.Connection, machine: Machine, step: Move, **values: object) -> bool:
    """Move a row by one event, set other columns with it, and write the history.

    Returns
    -------
    False if the row is no longer in that state or under that lease

    Raises
    ------
    InvalidTransition : the table of transitions does not allow it
    """
    new = advance(machine.transitions, step.state, step.event)
    table = machine.table
    here = sa.and_(table.c.id == step.row_id, table.c.state == step.state)
    if step.holder is not None:
        here = sa.and_(here, table.c.lease_holder == step.holder)
    values = {"lease_until": None, "lease_holder": None, "next_at": None, "rung_at": None} | values
    done = tx.execute(sa.update(table).where(here).values(state=new, **values)).rowcount == 1
    if done:
        record(tx, machine, step, state=new)
    return done


def record(tx: sa.Connection, machine: Machine, step: Move, *, state: StrEnum) -> None:
    """Write a line of history."""
    line = {"at": step.at, "event": step.event, "state": state, "code": step.code, "text": step.text}
    tx.execute(sa.insert(machine.history).values({machine.key: step.row_id, **line}))


def expire(tx: sa.Connection, machine: Machine, step: Move, *, is_strike: bool) -> bool:
    """Take a row back from the holder of its lease; False if that holder has let it go, or somebody else has it."""
    strikes = machine.table.c.strikes
    return move(tx, machine, step, strikes=strikes + 1 if is_strike else strikes)


def renew(tx: sa.Connection, machine: Machine, row_id: int, holder: str, lease_until: datetime) -> bool:
    """Prolong a lease; False if it is lost."""
    table = machine.table
    here = sa.and_(table.c.id == row_id, table.c.lease_holder == holder)
    return tx.execute(sa.update(table).where(here).values(lease_until=lease_until)).rowcount == 1


def ring_due(
    tx: sa.Connection, machine: Machine, states: Collection[StrEnum], now: datetime, again_before: datetime
) -> tuple[tuple[int, str], ...]:
    """Rows in `states` that wait for a worker, with their state: due, and not rung for since `again_before`.

    They are marked as rung for in the same transaction, so that a long queue is not rung for again and again.
    """
    table = machine.table
    waits = sa.and_(table.c.state.in_(states), sa.or_(table.c.rung_at.is_(None), table.c.rung_at < again_before))
    is_due = sa.or_(table.c.next_at.is_(None), table.c.next_at <= now)
    query = sa.select(table.c.id, table.c.state).where(waits, is_due).order_by(table.c.id).limit(500)
    rows = tx.execute(query.with_for_update(skip_locked=True)).all()
    if rows:
        tx.execute(sa.update(table).where(table.c.id.in_([row.id for row in rows])).values(rung_at=now))
    return tuple((row.id, row.state) for row in rows)


def forget_rings(tx: sa.Connection, machine: Machine) -> None:
    """Let every waiting row be rung for again, because the messages may have died with their worker."""
    tx.execute(sa.update(machine.table).where(machine.table.c.rung_at.is_not(None)).values(rung_at=None))


def leases(tx: sa.Connection, machine: Machine) -> tuple[tuple[int, str, str, datetime], ...]:
    """Every lease: row, state, holder and until when."""
    table = machine.table
    columns = (table.c.id, table.c.state, table.c.lease_holder, table.c.lease_until)
    return tuple(
        (i, s, h, u) for i, s, h, u in tx.execute(sa.select(*columns).where(table.c.lease_holder.is_not(None)))
    )


def history(tx: sa.Connection, machine: Machine, row_id: int) -> tuple[Event, ...]:
    """The history of a row, oldest first."""
    table = machine.history
    rows = tx.execute(sa.select(table).where(table.c[machine.key] == row_id).order_by(table.c.id)).mappings()
    return tuple(
        Event(at=row["at"], event=row["event"], state=row["state"], code=row["code"], text=row["text"]) for row in rows
    )


def count_states(tx: sa.Connection, machine: Machine) -> dict[str, int]:
    """Number of rows in each state; states without a row are left out."""
    state = machine.table.c.state
    rows = tx.execute(sa.select(state, sa.func.count()).group_by(state).order_by(state))
    return {row[0]: row[1] for row in rows}
