"""A message says that there is work; which work, the database says."""

from __future__ import annotations

import pytest

from pacs_node.archive.queries import deliveries, jobs, studies
from pacs_node.domain.identifiers import InstanceUid, JobId, SeriesUid, StudyUid
from pacs_node.domain.job import JobEvent
from pacs_node.domain.step import Step
from pacs_node.node import Node
from pacs_node.steps.choose import most_urgent, run_next
from tests.support.archive import a_new_job, a_receipt, record
from tests.support.steps import Clock


def _queued(node: Node, clock: Clock, number: int, *, is_stat: bool) -> JobId:
    study = StudyUid(f"1.2.3.{number}")
    names = {"series_instance_uid": SeriesUid(f"{study}.1"), "sop_instance_uid": InstanceUid(f"{study}.1.1")}
    record(node.database, a_receipt(number, study_instance_uid=study, file_key=f"f{number}", **names))
    with node.database.transaction() as tx:
        new = a_new_job(studies.find(tx, study).id, is_stat=is_stat)
        job_id = jobs.create(tx, new, clock())
    assert job_id is not None
    return job_id


def test_a_worker_that_is_rung_for_one_job_takes_the_most_urgent(any_node: Node, clock: Clock) -> None:
    routine, stat = (_queued(any_node, clock, number, is_stat=number == 2) for number in (1, 2))
    assert run_next(any_node, Step.ANALYSE, routine, lambda node, row_id: row_id == stat) == stat
    with any_node.database.transaction() as tx:
        (first,) = deliveries.create(tx, routine, ["pacs"], clock())
        (second,) = deliveries.create(tx, stat, ["pacs"], clock())
    assert most_urgent(any_node, Step.DELIVER) == second
    assert run_next(any_node, Step.DELIVER, first, lambda node, row_id: row_id == second) == second


def test_a_worker_that_comes_second_takes_the_next(node: Node, clock: Clock) -> None:
    """Two workers see the same row as the most urgent; the message of the one that loses must not be lost with it."""
    first, second = (_queued(node, clock, number, is_stat=False) for number in (1, 2))
    tried: list[int] = []

    def run(node: Node, row_id: int) -> bool:
        tried.append(row_id)
        if row_id == first:  # a rival claims it between choosing and claiming
            with node.database.transaction() as tx:
                assert jobs.claim(tx, first, JobEvent.START, clock(), "rival", clock())
            return False
        return True

    assert run_next(node, Step.ANALYSE, first, run) == second
    assert tried == [first, second]


@pytest.mark.parametrize("step", Step)
def test_where_nothing_waits_it_takes_what_it_was_rung_for(node: Node, step: Step) -> None:
    tried: list[int] = []
    assert run_next(node, step, 7, lambda node, row_id: tried.append(row_id) is None) == 7
    assert tried == [7]
