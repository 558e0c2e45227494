"""What the clock does: settle quiet studies, take work back from the dead, and ring for whatever waits.

Runs about twice a second beside the SCP and once after every step; any number of sweeps may run at once.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any

from pacs_node import log
from pacs_node.archive.queries import ahead, deliveries, machine
from pacs_node.archive.queries.machine import COMMITMENTS, DELIVERIES, JOBS, STUDIES, Machine, Move
from pacs_node.domain.commitment import CommitmentEvent, CommitmentState
from pacs_node.domain.delivery import DeliveryEvent, DeliveryState
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.step import Call, Step
from pacs_node.domain.study import StudyEvent, StudyState
from pacs_node.node import Node
from pacs_node.steps.lanes import lane_of
from pacs_node.steps.lease import Fate, fate_of
from pacs_node.steps.settle import settle_studies

RING_AGAIN = timedelta(seconds=60)
"""A row that still waits after this time is rung for again: its message may be lost."""


_WAITING: tuple[tuple[Machine, dict[StrEnum, Step]], ...] = (
    (STUDIES, {StudyState.UNCHECKED: Step.COMPLETE, StudyState.SETTLED: Step.PLAN}),
    (JOBS, {JobState.QUEUED: Step.ANALYSE, JobState.ANALYSED: Step.COMPOSE}),
    (DELIVERIES, {DeliveryState.UNCOMMITTED: Step.CONFIRM}),
    (COMMITMENTS, {CommitmentState.PENDING: Step.REPORT}),
)
_LEASED: tuple[tuple[Machine, type[StrEnum], StrEnum], ...] = (
    (STUDIES, StudyState, StudyEvent.EXPIRE),
    (JOBS, JobState, JobEvent.EXPIRE),
    (DELIVERIES, DeliveryState, DeliveryEvent.EXPIRE),
    (COMMITMENTS, CommitmentState, CommitmentEvent.EXPIRE),
)


def sweep(node: Node) -> tuple[Call, ...]:
    """Settle, take back, and say which steps to run now."""
    settle_studies(node)
    take_back(node)
    return waiting(node)


def take_back(node: Node) -> None:
    """Take rows back from holders that are dead or silent; also called by workers, who know the dead of their machine.

    A row that took its worker with it gets a strike (see `steps.lease`); whoever takes it next decides what that means.
    """
    now = node.now()
    with node.database.transaction() as tx:
        for states, kind, event in _LEASED:
            for row_id, state, holder, until in machine.leases(tx, states):
                fate = fate_of(holder)
                if fate is Fate.UNKNOWN and until >= now:
                    continue
                step = Move(row_id=row_id, state=kind(state), event=event, at=now, holder=holder, code=fate)
                if machine.expire(tx, states, step, is_strike=fate is Fate.ENDED):
                    log.event("lease_expired", state=state, code=fate, **{states.key: row_id})


def waiting(node: Node) -> tuple[Call, ...]:
    """The steps that rows wait for and nobody has rung for yet."""
    now = node.now()
    calls = []
    with node.database.transaction() as tx:
        for states, steps in _WAITING:
            due = machine.ring_due(tx, states, tuple(steps), now, now - RING_AGAIN)
            calls += [_call(tx, node, step, i) for i, state in due for at, step in steps.items() if at == state]
        calls += [Call(step=Step.DELIVER, row_id=i) for i in deliveries.ring_due(tx, now, now - RING_AGAIN)]
        if not calls:
            quiet_since = now - timedelta(seconds=node.config.settle.ahead_s)
            early = ahead.ring_due(tx, now, quiet_since, now - RING_AGAIN)
            calls += [Call(step=Step.ANTICIPATE, row_id=i) for i in early]
    return tuple(calls)


def _call(tx: Any, node: Node, step: Step, row_id: int) -> Call:
    return Call(step=step, row_id=row_id, lane=lane_of(tx, node.config, step, row_id))


def ring_anew(node: Node) -> None:
    """Forget what was rung for; called when a worker starts, as messages may have died with the one before it."""
    with node.database.transaction() as tx:
        for states, _, _ in _LEASED:
            machine.forget_rings(tx, states)
