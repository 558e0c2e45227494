"""A study that ends its workers is set aside after two of them, and keeps nobody else waiting."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pacs_node.archive.queries import commitments, confirmations, deliveries, jobs, machine, studies
from pacs_node.archive.queries.machine import COMMITMENTS, DELIVERIES, JOBS, STUDIES
from pacs_node.config import Destination
from pacs_node.domain.commitment import Asker, CommitmentReport, CommitmentRequest, CommitmentState
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import CommitmentId, DeliveryId, JobId, StudyId
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.step import Step
from pacs_node.domain.study import StudyState
from pacs_node.node import Node
from pacs_node.steps.retry import retry_job, retry_study
from pacs_node.steps.sweep import sweep
from pacs_node.work.tasks import STEPS
from tests.support.commitment import ABSENT
from tests.support.series import a_chest_series
from tests.support.steps import (
    PACS,
    QUIET_S,
    Clock,
    a_dead_holder,
    all_jobs,
    delivery_states,
    receive,
    results,
    run_all,
)

Claim = Callable[..., bool]
PLAN: Claim = lambda tx, *lease: studies.claim(tx, StudyId(1), *lease)  # noqa: E731
ANALYSE: Claim = lambda tx, *lease: jobs.claim(tx, JobId(1), JobEvent.START, *lease)  # noqa: E731
COMPOSE: Claim = lambda tx, *lease: jobs.claim(tx, JobId(1), JobEvent.COMPOSE, *lease)  # noqa: E731
DELIVER: Claim = lambda tx, *lease: deliveries.claim(tx, DeliveryId(1), *lease)  # noqa: E731
CONFIRM: Claim = lambda tx, *lease: confirmations.claim(tx, DeliveryId(1), *lease)  # noqa: E731
REPORT: Claim = lambda tx, *lease: commitments.claim(tx, CommitmentId(1), *lease)  # noqa: E731


@pytest.fixture
def settled(node: Node, clock: Clock, small_chest: list[Path]) -> Node:
    """A node with a study that is to be planned."""
    receive(node, small_chest)
    clock.forward(QUIET_S)
    sweep(node)
    return node


@pytest.fixture
def committing(settled: Node) -> Node:
    """The same with a destination that keeps everything when it is asked."""

    def ask(destination: Destination, request: CommitmentRequest) -> CommitmentReport:
        return CommitmentReport(transaction_uid=request.transaction_uid, committed=request.references, failed=())

    config = dataclasses.replace(settled.config, destination=(dataclasses.replace(PACS, commitment=True),))
    return dataclasses.replace(settled, config=config, ask=ask)


def _die(node: Node, clock: Clock, claim: Claim, *, with_parent: bool = False) -> None:
    """Take a row as a worker does, and be found dead."""
    until = clock() + timedelta(seconds=node.config.work.lease_s)
    with node.database.transaction() as tx:
        assert claim(tx, clock(), a_dead_holder(with_parent=with_parent), until)
    sweep(node)


def _study_state(node: Node) -> StudyState:
    with node.database.transaction() as tx:
        return studies.get(tx, StudyId(1)).state


def _codes(node: Node, of: machine.Machine) -> list[str]:
    with node.database.transaction() as tx:
        return [event.code for event in machine.history(tx, of, 1) if event.code]


def test_a_job_that_ends_two_workers_is_set_aside_with_a_report(settled: Node, clock: Clock) -> None:
    STEPS[Step.PLAN](settled, 1)
    _die(settled, clock, ANALYSE)
    assert [job.state for job in all_jobs(settled)] == [JobState.QUEUED]
    _die(settled, clock, ANALYSE)
    run_all(settled)
    (job,) = all_jobs(settled)
    assert (job.state, [reason.code for reason in job.reasons]) == (JobState.QUARANTINED, ["job.quarantined"])
    assert [item.role for item in results(settled, job)] == ["sr"]
    assert delivery_states(settled, job) == [DeliveryState.DELIVERED]
    assert _codes(settled, JOBS) == ["worker.ended", "worker.ended", "job.quarantined"]


def test_a_quarantined_job_is_released_by_retry_and_gets_two_more_workers(settled: Node, clock: Clock) -> None:
    STEPS[Step.PLAN](settled, 1)
    for _ in range(2):
        _die(settled, clock, ANALYSE)
    run_all(settled)
    retry_job(settled, JobId(1))
    _die(settled, clock, ANALYSE)
    run_all(settled)
    (job,) = all_jobs(settled)
    assert (job.state, job.reasons, job.strikes) == (JobState.DONE, (), 0)
    assert [item.role for item in results(settled, job)] == ["seg", "sr"]


def test_a_result_that_ends_two_workers_is_replaced_by_a_report(settled: Node, clock: Clock) -> None:
    for step in (Step.PLAN, Step.ANALYSE):
        STEPS[step](settled, 1)
    for _ in range(2):
        _die(settled, clock, COMPOSE)
    run_all(settled)
    (job,) = all_jobs(settled)
    assert (job.state, [reason.code for reason in job.reasons]) == (JobState.QUARANTINED, ["job.quarantined"])
    assert [item.role for item in results(settled, job)] == ["sr"]


def test_a_report_that_ends_workers_too_is_not_made(settled: Node, clock: Clock) -> None:
    for step in (Step.PLAN, Step.ANALYSE):
        STEPS[step](settled, 1)
    for _ in range(2):
        _die(settled, clock, COMPOSE)
    STEPS[Step.COMPOSE](settled, 1)
    for _ in range(2):
        _die(settled, clock, COMPOSE)
    run_all(settled)
    (job,) = all_jobs(settled)
    assert (job.state, job.finished_at, results(settled, job)) == (JobState.QUARANTINED, None, ())
    retry_job(settled, job.id)
    run_all(settled)
    assert [job.state for job in all_jobs(settled)] == [JobState.DONE]


def test_a_study_whose_planning_ends_two_workers_is_set_aside_until_somebody_asks_for_it(
    settled: Node, clock: Clock
) -> None:
    _die(settled, clock, PLAN)
    assert _study_state(settled) is StudyState.SETTLED
    _die(settled, clock, PLAN)
    run_all(settled)
    assert _study_state(settled) is StudyState.QUARANTINED
    assert _codes(settled, STUDIES) == ["worker.ended", "worker.ended", "job.quarantined"]
    with settled.database.transaction() as tx:
        uid = studies.get(tx, StudyId(1)).study_instance_uid
    retry_study(settled, uid)
    run_all(settled)
    assert _study_state(settled) is StudyState.PLANNED
    assert [job.state for job in all_jobs(settled)] == [JobState.DONE]


def test_a_quarantined_study_that_gets_new_instances_is_planned_again(
    node: Node, clock: Clock, small_chest: list[Path]
) -> None:
    receive(node, small_chest[:-5])
    clock.forward(QUIET_S)
    sweep(node)
    for _ in range(2):
        _die(node, clock, PLAN)
    run_all(node)
    receive(node, small_chest[-5:])
    clock.forward(QUIET_S)
    run_all(node)
    assert _study_state(node) is StudyState.PLANNED
    assert [job.state for job in all_jobs(node)] == [JobState.DONE]


def test_a_quarantined_study_keeps_no_other_waiting(settled: Node, clock: Clock, tmp_path: Path) -> None:
    for _ in range(2):
        _die(settled, clock, PLAN)
    receive(settled, a_chest_series(tmp_path, slices=3, study="other", series="other"))
    clock.forward(QUIET_S)
    run_all(settled)
    with settled.database.transaction() as tx:
        assert machine.count_states(tx, STUDIES) == {"planned": 1, "quarantined": 1}
        assert machine.count_states(tx, JOBS) == {"done": 1}


def test_a_delivery_that_ends_two_workers_fails(settled: Node, clock: Clock) -> None:
    for step in (Step.PLAN, Step.ANALYSE, Step.COMPOSE):
        STEPS[step](settled, 1)
    for _ in range(2):
        _die(settled, clock, DELIVER)
    run_all(settled)
    (job,) = all_jobs(settled)
    assert delivery_states(settled, job) == [DeliveryState.FAILED]
    assert _codes(settled, DELIVERIES)[-1] == "job.quarantined"


def test_a_delivery_that_ends_two_workers_keeps_no_other_to_the_same_destination_waiting(
    settled: Node, clock: Clock, tmp_path: Path
) -> None:
    for step in (Step.PLAN, Step.ANALYSE, Step.COMPOSE):
        STEPS[step](settled, 1)
    for _ in range(2):
        _die(settled, clock, DELIVER)
    receive(settled, a_chest_series(tmp_path, slices=3, study="other", series="other"))
    clock.forward(QUIET_S)
    run_all(settled)
    with settled.database.transaction() as tx:
        assert machine.count_states(tx, DELIVERIES) == {"delivered": 1, "failed": 1}


def test_a_delivery_that_arrived_has_no_strikes_against_it_when_its_destination_is_asked_about_it(
    committing: Node, clock: Clock
) -> None:
    """One for each of its parts: a worker that ended while it sent says nothing about the asking."""
    for step in (Step.PLAN, Step.ANALYSE, Step.COMPOSE):
        STEPS[step](committing, 1)
    _die(committing, clock, DELIVER)
    STEPS[Step.DELIVER](committing, 1)
    _die(committing, clock, CONFIRM)
    run_all(committing)
    (job,) = all_jobs(committing)
    assert delivery_states(committing, job) == [DeliveryState.COMMITTED]


def test_a_delivery_that_ends_two_workers_that_ask_about_it_is_not_asked_about_any_more(
    committing: Node, clock: Clock
) -> None:
    for step in (Step.PLAN, Step.ANALYSE, Step.COMPOSE, Step.DELIVER):
        STEPS[step](committing, 1)
    for _ in range(2):
        _die(committing, clock, CONFIRM)
    run_all(committing)
    (job,) = all_jobs(committing)
    assert delivery_states(committing, job) == [DeliveryState.DELIVERED]
    assert _codes(committing, DELIVERIES)[-1] == "job.quarantined"


def test_a_request_for_commitment_that_ends_two_workers_is_given_up(node: Node, clock: Clock) -> None:
    asked = CommitmentRequest(transaction_uid="2.25.1", references=(ABSENT,))
    with node.database.transaction() as tx:
        asker = Asker(calling_ae_title="CT1", address="127.0.0.1")
        commitments.request(tx, asked, asker, clock(), clock())
    for _ in range(2):
        _die(node, clock, REPORT)
    run_all(node)
    with node.database.transaction() as tx:
        assert commitments.get(tx, CommitmentId(1)).state is CommitmentState.FAILED
    assert _codes(node, COMMITMENTS)[-1] == "job.quarantined"


def test_a_node_that_is_stopped_again_and_again_is_no_fault_of_the_study(settled: Node, clock: Clock) -> None:
    for _ in range(3):
        _die(settled, clock, PLAN, with_parent=True)
    STEPS[Step.PLAN](settled, 1)
    for _ in range(3):
        _die(settled, clock, ANALYSE, with_parent=True)
    run_all(settled)
    (job,) = all_jobs(settled)
    assert (job.state, job.reasons) == (JobState.DONE, ())
    assert _codes(settled, JOBS) == ["worker.stopped"] * 3
