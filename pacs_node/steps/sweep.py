"""What the clock does: settle quiet studies, take work back from the dead, and ring for whatever waits.

Runs about twice a second beside the SCP and once after every step; any number of sweeps may run at once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pacs_node import log
from pacs_node.archive.queries import machine
from pacs_node.archive.queries.machine import DELIVERIES, JOBS, STUDIES, Machine, Move
from pacs_node.archive.session import Database
from pacs_node.domain.delivery import DeliveryEvent, DeliveryState
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.step import Call, Step
from pacs_node.domain.study import StudyState
from pacs_node.node import Node
from pacs_node.steps.lease import is_dead
from pacs_node.steps.settle import settle_studies

RING_AGAIN = timedelta(seconds=60)
"""A row that still waits after this time is rung for again: its message may be lost."""


_WAITING: tuple[tuple[Machine, dict[StrEnum, Step]], ...] = (
    (STUDIES, {StudyState.SETTLED: Step.PLAN}),
    (JOBS, {JobState.QUEUED: Step.ANALYSE, JobState.ANALYSED: Step.COMPOSE}),
    (DELIVERIES, {DeliveryState.PENDING: Step.DELIVER}),
)


def sweep(node: Node) -> tuple[Call, ...]:
    """Settle, expire, and say which steps to run now."""
    settle_studies(node)
    _expire(node.database, JOBS, JobState, JobEvent.EXPIRE, node.now())
    _expire(node.database, DELIVERIES, DeliveryState, DeliveryEvent.EXPIRE, node.now())
    return waiting(node)


def waiting(node: Node) -> tuple[Call, ...]:
    """The steps that rows wait for and nobody has rung for yet."""
    now = node.now()
    calls = []
    with node.database.transaction() as tx:
        for states, steps in _WAITING:
            due = machine.ring_due(tx, states, tuple(steps), now, now - RING_AGAIN)
            calls += [Call(step=step, row_id=i) for i, state in due for at, step in steps.items() if at == state]
    return tuple(calls)


def ring_anew(node: Node) -> None:
    """Forget what was rung for; called when a worker starts, as messages may have died with the one before it."""
    with node.database.transaction() as tx:
        for states, _ in _WAITING:
            machine.forget_rings(tx, states)


def _expire(database: Database, states: Machine, kind: type[StrEnum], event: StrEnum, now: datetime) -> None:
    with database.transaction() as tx:
        for row_id, state, holder, until in machine.leases(tx, states):
            if until < now or is_dead(holder):
                step = Move(row_id=row_id, state=kind(state), event=event, at=now, holder=holder, code="lease.expired")
                if machine.move(tx, states, step):
                    log.event("lease_expired", state=state, **{states.key: row_id})
