"""What may pass is tried again in every step: later by a random time, ever less often, and not endlessly."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from pacs_node.archive import tables
from pacs_node.domain.retry import ANALYSE, COMPOSE, DELIVER, PLAN
from pacs_node.domain.step import Step
from pacs_node.errors import PeerTimeout
from pacs_node.node import Node
from pacs_node.steps.sweep import sweep
from pacs_node.work.tasks import STEPS
from tests.support.steps import QUIET_S, Clock, hooked, receive

TABLES = {Step.PLAN: tables.study, Step.ANALYSE: tables.job, Step.COMPOSE: tables.job, Step.DELIVER: tables.delivery}
POLICIES = {Step.PLAN: PLAN, Step.ANALYSE: ANALYSE, Step.COMPOSE: COMPOSE, Step.DELIVER: DELIVER}
WAITS = {Step.PLAN: "settled", Step.ANALYSE: "queued", Step.COMPOSE: "analysed", Step.DELIVER: "pending"}
GIVEN_UP = {Step.PLAN: "quarantined", Step.ANALYSE: "analysed", Step.COMPOSE: "analysed", Step.DELIVER: "failed"}
"""A job goes on to a report that says why."""


@pytest.mark.parametrize("step", TABLES)
def test_a_failure_that_may_pass_is_tried_again_after_a_random_time_and_not_endlessly(
    node: Node, clock: Clock, small_chest: list[Path], step: Step
) -> None:
    receive(node, small_chest)
    clock.forward(QUIET_S)
    sweep(node)
    for before in list(TABLES)[: list(TABLES).index(step)]:
        STEPS[before](node, 1)

    def fail() -> None:
        raise PeerTimeout

    def tried(chance: float) -> tuple[str, datetime | None]:
        """The state and the time of the next attempt after a failure at this roll of the dice."""
        failing = dataclasses.replace(node, chance=lambda: chance)
        assert STEPS[step](hooked(failing, step, fail), 1)
        with node.database.transaction() as tx:
            return tuple(tx.execute(sa.select(TABLES[step].c.state, TABLES[step].c.next_at)).one())  # type: ignore[return-value]

    policy, now = POLICIES[step], clock()
    soonest = now + timedelta(seconds=policy.first_s / 2)
    assert tried(0.0) == (WAITS[step], soonest)
    assert not STEPS[step](node, 1)  # its time has not come
    clock.forward(policy.first_s / 2)
    latest = soonest + timedelta(seconds=policy.first_s * policy.factor * 0.999)
    assert tried(0.998) == (WAITS[step], latest)
    clock.forward(policy.first_s * policy.factor)
    with node.database.transaction() as tx:
        tx.execute(sa.update(TABLES[step]).values(attempt=policy.attempts - 1))
    assert tried(0.5) == (GIVEN_UP[step], None)
