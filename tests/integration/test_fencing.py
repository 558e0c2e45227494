"""A worker that lost its lease changes nothing any more, however its step ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from inference.errors import PredictorUnavailable
from pacs_node.archive import tables
from pacs_node.archive.queries import deliveries, jobs, studies
from pacs_node.domain.identifiers import DeliveryId, JobId, StudyId
from pacs_node.domain.job import JobEvent
from pacs_node.domain.step import Step
from pacs_node.node import Node
from pacs_node.steps.sweep import sweep
from pacs_node.work.tasks import STEPS
from tests.support.archive import a_nodule
from tests.support.steps import QUIET_S, Clock, hooked, receive

CLAIMS: dict[Step, Callable[..., bool]] = {
    Step.PLAN: lambda tx, *lease: studies.claim(tx, StudyId(1), *lease),
    Step.ANALYSE: lambda tx, *lease: jobs.claim(tx, JobId(1), JobEvent.START, *lease),
    Step.COMPOSE: lambda tx, *lease: jobs.claim(tx, JobId(1), JobEvent.COMPOSE, *lease),
    Step.DELIVER: lambda tx, *lease: deliveries.claim(tx, DeliveryId(1), *lease),
}


@pytest.mark.parametrize("step", CLAIMS)
def test_a_step_that_ends_after_another_worker_took_it_over_changes_nothing(
    any_node: Node, clock: Clock, small_chest: list[Path], step: Step
) -> None:
    receive(any_node, small_chest)
    clock.forward(QUIET_S)
    sweep(any_node)
    for before in list(CLAIMS)[: list(CLAIMS).index(step)]:
        STEPS[before](any_node, 1)
    for error in (None, PredictorUnavailable(), ValueError()):  # it succeeds, may be tried again, or has failed
        seen: list[dict[str, Any]] = []

        def overtaken(error: Exception | None = error, seen: list[dict[str, Any]] = seen) -> None:
            if seen:
                return
            clock.forward(any_node.config.work.lease_s + 1)
            sweep(any_node)
            with any_node.database.transaction() as tx:
                assert CLAIMS[step](tx, clock(), "elsewhere/1.1/2.2/another", clock())
                if step is not Step.PLAN:
                    jobs.replace_findings(tx, JobId(1), [a_nodule(1)])
            seen.append(_rows(any_node))
            if error is not None:
                raise error

        STEPS[step](hooked(any_node, step, overtaken), 1)
        assert [_rows(any_node)] == seen
        clock.forward(1)
        sweep(any_node)  # the other worker is gone, too
        with any_node.database.transaction() as tx:
            for table in (tables.study, tables.job, tables.delivery):
                tx.execute(sa.update(table).values(attempt=0))  # or there were too many for another one


def _rows(node: Node) -> dict[str, Any]:
    """Everything that the database knows."""
    with node.database.transaction() as tx:
        return {
            table.name: tx.execute(sa.select(table).order_by(table.c.id)).all()
            for table in tables.metadata.sorted_tables
        }
