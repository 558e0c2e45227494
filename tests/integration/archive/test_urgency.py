"""Who goes first: STAT before routine, senders in turn, then the oldest."""

from __future__ import annotations

from typing import Any

from pacs_node.archive.queries import deliveries, jobs, studies, urgency
from pacs_node.archive.queries.machine import DELIVERIES, JOBS, Move, move
from pacs_node.archive.session import Database
from pacs_node.domain.delivery import DeliveryEvent, DeliveryState
from pacs_node.domain.identifiers import InstanceUid, JobId, SeriesUid, StudyUid
from pacs_node.domain.job import JobEvent, JobState
from tests.support.archive import a_new_job, a_receipt, at, record


def _queued(database: Database, number: int, sender: str = "CT1", **fields: Any) -> JobId:
    """A job on a study of its own."""
    study = StudyUid(f"1.2.3.{number}")
    names = {"series_instance_uid": SeriesUid(f"{study}.1"), "sop_instance_uid": InstanceUid(f"{study}.1.1")}
    record(
        database, a_receipt(number, study_instance_uid=study, calling_ae_title=sender, file_key=f"f{number}", **names)
    )
    with database.transaction() as tx:
        job_id = jobs.create(tx, a_new_job(studies.find(tx, study).id, **fields), at(number))
    assert job_id is not None
    return job_id


def _served(database: Database) -> list[JobId]:
    """The jobs in the order in which workers would take them, one a second."""
    order: list[JobId] = []
    while True:
        with database.transaction() as tx:
            number = urgency.next_job(tx, JobState.QUEUED, at(1000 + len(order)))
            if number is None:
                return order
            order.append(JobId(number))
            assert jobs.claim(tx, order[-1], JobEvent.START, at(1000 + len(order)), "w", at(2000))


def test_nothing_is_urgent_where_nothing_waits(database: Database) -> None:
    assert _served(database) == []


def test_the_oldest_goes_first(database: Database) -> None:
    ids = [_queued(database, number) for number in range(1, 4)]
    assert _served(database) == ids


def test_a_stat_job_passes_all_others(database: Database) -> None:
    ids = [_queued(database, number) for number in range(1, 4)]
    stat = _queued(database, 9, is_stat=True)
    assert _served(database) == [stat, *ids]


def test_a_sender_with_many_studies_does_not_keep_one_with_few_waiting(database: Database) -> None:
    busy = [_queued(database, number, "BUSY") for number in range(1, 5)]
    rare = [_queued(database, number, "RARE") for number in (7, 8)]
    assert _served(database) == [busy[0], rare[0], busy[1], rare[1], busy[2], busy[3]]


def test_a_job_whose_time_has_not_come_is_passed_over(database: Database) -> None:
    first, second = _queued(database, 1), _queued(database, 2)
    with database.transaction() as tx:
        assert jobs.claim(tx, first, JobEvent.START, at(10), "w", at(60))
        step = Move(row_id=first, state=JobState.RUNNING, event=JobEvent.DELAY, at=at(11), holder="w")
        assert move(tx, JOBS, step, next_at=at(100))
        assert urgency.next_job(tx, JobState.QUEUED, at(99)) == second
        assert jobs.claim(tx, second, JobEvent.START, at(99), "w", at(120))
        assert urgency.next_job(tx, JobState.QUEUED, at(99)) is None
        assert urgency.next_job(tx, JobState.QUEUED, at(100)) == first


def test_the_results_of_stat_jobs_are_delivered_first(database: Database) -> None:
    routine, stat = _queued(database, 1), _queued(database, 2, is_stat=True)
    with database.transaction() as tx:
        (later,) = deliveries.create(tx, routine, ["pacs"], at(5))
        (first,) = deliveries.create(tx, stat, ["pacs"], at(6))
        assert urgency.next_delivery(tx, at(7)) == first
        assert deliveries.claim(tx, first, at(7), "w", at(60))
        assert urgency.next_delivery(tx, at(7)) is None  # nothing passes what is being sent
        step = Move(row_id=first, state=DeliveryState.SENDING, event=DeliveryEvent.ACCEPT, at=at(8), holder="w")
        assert move(tx, DELIVERIES, step)
        assert urgency.next_delivery(tx, at(8)) == later
