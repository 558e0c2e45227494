"""A step that runs out of time ends with its worker, is tried once more, and then the report says which step it was."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from pacs_node.archive.queries import machine, studies
from pacs_node.archive.queries.machine import DELIVERIES, JOBS, STUDIES
from pacs_node.config import Limits
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.job import JobState
from pacs_node.domain.step import Step
from pacs_node.domain.study import StudyState
from pacs_node.node import Node
from pacs_node.steps.sweep import sweep
from pacs_node.work.tasks import STEPS
from tests.support.steps import QUIET_S, Clock, all_jobs, delivery_states, hooked, inside, receive, run_all

LONG_S = 30
"""Nothing here takes so long; a test that has to wait for it has failed."""
ENDS = "the step {} ran out of time: it took longer than 0.02 s"


@pytest.fixture
def settled(node: Node, clock: Clock, small_chest: list[Path]) -> Node:
    """A node with a study that is to be planned."""
    receive(node, small_chest)
    clock.forward(QUIET_S)
    sweep(node)
    return node


def _hangs(node: Node, step: Step) -> None:
    """Run a step that hangs until its process is ended; then nothing of it may count any more."""
    abandoned = threading.Event()

    def hang() -> None:
        assert abandoned.wait(LONG_S)
        raise AssertionError("the process has ended before this")

    limits = Limits(**{f"{step}_s": 0.02})
    impatient = dataclasses.replace(node, config=dataclasses.replace(node.config, limits=limits), abandon=abandoned.set)
    assert STEPS[step](hooked(impatient, step, hang), 1)
    assert abandoned.is_set()


def _run_until(node: Node, step: Step) -> None:
    for before in (Step.PLAN, Step.ANALYSE, Step.COMPOSE, Step.DELIVER):
        if before is step:
            return
        STEPS[before](node, 1)


@pytest.mark.parametrize("step", [Step.ANALYSE, Step.COMPOSE])
def test_a_job_that_runs_out_of_time_twice_ends_with_a_report_that_names_the_step(
    settled: Node, clock: Clock, step: Step
) -> None:
    _run_until(settled, step)
    for _ in range(2):
        _hangs(settled, step)
        clock.forward(60)
    run_all(settled)
    (job,) = all_jobs(settled)
    assert job.state is JobState.DONE
    assert [(reason.code, reason.text) for reason in job.reasons] == [("step.timeout", ENDS.format(step))]
    history = inside(settled, lambda tx: machine.history(tx, JOBS, job.id))
    assert [event.code for event in history if event.code] == ["step.timeout"] * 2


@pytest.mark.parametrize("step", [Step.PLAN, Step.ANALYSE, Step.COMPOSE, Step.DELIVER])
def test_a_step_that_ran_out_of_time_once_may_still_succeed(settled: Node, clock: Clock, step: Step) -> None:
    _run_until(settled, step)
    _hangs(settled, step)
    clock.forward(60)
    run_all(settled)
    (job,) = all_jobs(settled)
    assert (job.state, job.reasons) == (JobState.DONE, ())
    assert delivery_states(settled, job) == [DeliveryState.DELIVERED]


def test_a_plan_that_runs_out_of_time_twice_sets_the_study_aside(settled: Node, clock: Clock) -> None:
    for _ in range(2):
        _hangs(settled, Step.PLAN)
        clock.forward(60)
    with settled.database.transaction() as tx:
        assert studies.get(tx, StudyId(1)).state is StudyState.QUARANTINED
        assert machine.history(tx, STUDIES, 1)[-1].text == ENDS.format("plan")


def test_a_delivery_that_runs_out_of_time_waits_as_if_the_destination_had_not_answered(
    settled: Node, clock: Clock
) -> None:
    _run_until(settled, Step.DELIVER)
    for _ in range(3):
        _hangs(settled, Step.DELIVER)
        clock.forward(60)
    run_all(settled)
    (job,) = all_jobs(settled)
    assert delivery_states(settled, job) == [DeliveryState.DELIVERED]
    history = inside(settled, lambda tx: machine.history(tx, DELIVERIES, 1))
    assert [event.code for event in history if event.code] == ["step.timeout"] * 3
