"""Claims, leases, fencing, superseding: jobs and deliveries as rows that move."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from enum import StrEnum

import pytest

from pacs_node.archive.queries import deliveries, jobs, machine, studies
from pacs_node.archive.queries.machine import DELIVERIES, JOBS, Machine, Move
from pacs_node.archive.records import Job, NewJob, StoredResult
from pacs_node.archive.session import Database
from pacs_node.domain.delivery import DeliveryEvent, DeliveryState
from pacs_node.domain.identifiers import DeliveryId, InstanceUid, JobId
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.rule import Reason
from pacs_node.errors import NotFound
from tests.support.archive import STUDY, a_new_job, a_nodule, a_receipt, at, record

CLAIMED_AT, LEASE_UNTIL = at(2), at(60)


def _new(database: Database, **fields: object) -> NewJob:
    record(database, a_receipt(1))
    with database.transaction() as tx:
        return dataclasses.replace(a_new_job(studies.find(tx, STUDY).id), **fields)  # type: ignore[arg-type]


def _created(database: Database, **fields: object) -> JobId:
    new = _new(database, **fields)
    with database.transaction() as tx:
        job_id = jobs.create(tx, new, at(1))
    assert job_id is not None
    return job_id


def _job(database: Database, job_id: JobId) -> Job:
    with database.transaction() as tx:
        return jobs.get(tx, job_id)


def _claim(database: Database, job_id: JobId, event: JobEvent, holder: str, now: datetime = CLAIMED_AT) -> bool:
    with database.transaction() as tx:
        return jobs.claim(tx, job_id, event, now, holder, LEASE_UNTIL)


def _move(database: Database, job_id: JobId, event: JobEvent, holder: str | None = None, **values: object) -> bool:
    job = _job(database, job_id)
    with database.transaction() as tx:
        step = Move(row_id=job_id, state=job.state, event=event, at=at(3), holder=holder)
        return machine.move(tx, JOBS, step, **values)


def _done(database: Database, job_id: JobId) -> None:
    assert _claim(database, job_id, JobEvent.START, "a")
    assert _move(database, job_id, JobEvent.FIND)
    assert _claim(database, job_id, JobEvent.COMPOSE, "a")
    assert _move(database, job_id, JobEvent.FINISH, finished_at=at(4))


def _ring(database: Database, machine_: Machine, states: list[StrEnum], now_s: float, again_s: float) -> list[int]:
    with database.transaction() as tx:
        return [row_id for row_id, _ in machine.ring_due(tx, machine_, states, at(now_s), at(again_s))]


def test_a_job_keeps_everything_that_the_plan_said(database: Database) -> None:
    new = _new(database)
    with database.transaction() as tx:
        job_id = jobs.create(tx, new, at(1))
        assert job_id is not None
        job = jobs.get(tx, job_id)
        history = machine.history(tx, JOBS, job_id)
    same = ("series_instance_uid", "rule", "pipeline", "input_digest", "models", "destinations", "reasons")
    assert {name: getattr(job, name) for name in same} == {name: getattr(new, name) for name in same}
    assert (job.state, job.attempt, job.study_instance_uid) == (JobState.QUEUED, 0, STUDY)
    assert (job.created_at, job.finished_at, job.supersedes_job_id) == (at(1), None, None)
    assert [(line.event, line.state) for line in history] == [("create", "queued")]


def test_a_series_that_must_not_be_analysed_goes_straight_to_composing(database: Database) -> None:
    job_id = _created(database, reasons=(Reason(code="series.gap", text="a slice is missing"),), models=())
    assert _job(database, job_id).state is JobState.ANALYSED
    assert _job(database, job_id).reasons == (Reason(code="series.gap", text="a slice is missing"),)


def test_the_very_same_job_is_not_created_again(database: Database) -> None:
    _created(database)
    new = _new(database)
    with database.transaction() as tx:
        assert jobs.create(tx, new, at(5)) is None
        assert len(jobs.of_study(tx, new.study_id)) == 1


@pytest.mark.parametrize("change", [{"input_digest": "d" * 64}, {"model_digest": "d" * 64}], ids=str)
def test_other_instances_or_models_make_a_new_job_that_supersedes_the_open_one(
    database: Database, change: dict[str, str]
) -> None:
    old = _created(database)
    assert _claim(database, old, JobEvent.START, "a")
    new = _created(database, **change)
    assert _job(database, old).state is JobState.SUPERSEDED
    assert _job(database, new).supersedes_job_id is None
    assert not _move_from_running(database, old, "a")


def _move_from_running(database: Database, job_id: JobId, holder: str) -> bool:
    with database.transaction() as tx:
        step = Move(row_id=job_id, state=JobState.RUNNING, event=JobEvent.FIND, at=at(9), holder=holder)
        return machine.move(tx, JOBS, step)


def test_a_new_job_names_the_last_finished_one_whose_report_it_supersedes(database: Database) -> None:
    old = _created(database)
    _done(database, old)
    new = _created(database, input_digest="d" * 64)
    assert _job(database, old).state is JobState.DONE
    assert _job(database, new).supersedes_job_id == old


def test_the_jobs_of_another_rule_are_left_alone(database: Database) -> None:
    old = _created(database)
    new = _created(database, rule="other")
    assert (_job(database, old).state, _job(database, new).state) == (JobState.QUEUED, JobState.QUEUED)


def test_of_two_workers_one_gets_the_job(database: Database) -> None:
    job_id = _created(database)
    with ThreadPoolExecutor(8) as pool:
        claims = [pool.submit(_claim, database, job_id, JobEvent.START, f"worker-{n}") for n in range(8)]
        assert sorted(claim.result(timeout=60) for claim in claims) == [False] * 7 + [True]
    job = _job(database, job_id)
    assert (job.state, job.attempt) == (JobState.RUNNING, 1)
    with database.transaction() as tx:
        assert [line.event for line in machine.history(tx, JOBS, job_id)] == ["create", "start"]


def test_a_job_is_claimed_only_for_the_step_that_it_waits_for_and_when_its_time_has_come(database: Database) -> None:
    job_id = _created(database)
    assert not _claim(database, job_id, JobEvent.COMPOSE, "a")
    assert _claim(database, job_id, JobEvent.START, "a")
    assert _move(database, job_id, JobEvent.DELAY, next_at=at(30))
    assert not _claim(database, job_id, JobEvent.START, "b", at(29))
    assert _claim(database, job_id, JobEvent.START, "b", at(30))
    assert (_job(database, job_id).attempt, _job(database, job_id).next_at) == (2, None)


def test_a_worker_that_lost_its_lease_cannot_write(database: Database) -> None:
    job_id = _created(database)
    assert _claim(database, job_id, JobEvent.START, "slow")
    assert _move(database, job_id, JobEvent.EXPIRE, holder="slow")
    assert _claim(database, job_id, JobEvent.START, "quick")
    with database.transaction() as tx:
        assert not machine.renew(tx, JOBS, job_id, "slow", at(999))
    assert not _move(database, job_id, JobEvent.FIND, holder="slow", findings_key="slow")
    assert _job(database, job_id).state is JobState.RUNNING
    assert _move(database, job_id, JobEvent.FIND, holder="quick", findings_key="quick")
    assert _job(database, job_id).findings_key == "quick"


def test_a_lease_names_its_holder_until_it_ends(database: Database) -> None:
    job_id = _created(database)
    assert _claim(database, job_id, JobEvent.START, "a")
    with database.transaction() as tx:
        assert machine.leases(tx, JOBS) == ((job_id, "running", "a", LEASE_UNTIL),)
        assert machine.renew(tx, JOBS, job_id, "a", at(90))
        assert machine.leases(tx, JOBS) == ((job_id, "running", "a", at(90)),)
    assert _move(database, job_id, JobEvent.FIND, holder="a")
    with database.transaction() as tx:
        assert machine.leases(tx, JOBS) == ()


def test_a_row_is_rung_for_once_and_again_when_its_message_may_be_lost(database: Database) -> None:
    job_id = _created(database)
    waiting: list[StrEnum] = [JobState.QUEUED]
    assert _ring(database, JOBS, waiting, now_s=10, again_s=-50) == [job_id]
    assert _ring(database, JOBS, waiting, now_s=11, again_s=-49) == []
    assert _ring(database, JOBS, waiting, now_s=71, again_s=11) == [job_id]


def test_a_row_that_moved_is_rung_for_at_once(database: Database) -> None:
    job_id = _created(database)
    assert _ring(database, JOBS, [JobState.QUEUED], now_s=1, again_s=-59) == [job_id]
    assert _claim(database, job_id, JobEvent.START, "a")
    assert _ring(database, JOBS, [JobState.QUEUED, JobState.ANALYSED], now_s=2, again_s=-58) == []
    assert _move(database, job_id, JobEvent.FIND)
    assert _ring(database, JOBS, [JobState.QUEUED, JobState.ANALYSED], now_s=3, again_s=-57) == [job_id]


def test_a_delayed_row_is_not_rung_for_before_its_time(database: Database) -> None:
    job_id = _created(database)
    assert _claim(database, job_id, JobEvent.START, "a")
    assert _move(database, job_id, JobEvent.DELAY, next_at=at(30))
    assert _ring(database, JOBS, [JobState.QUEUED], now_s=29, again_s=-31) == []
    assert _ring(database, JOBS, [JobState.QUEUED], now_s=30, again_s=-30) == [job_id]


def test_the_history_says_what_happened_when_and_why(database: Database) -> None:
    job_id = _created(database)
    assert _claim(database, job_id, JobEvent.START, "a")
    with database.transaction() as tx:
        step = Move(
            row_id=job_id, state=JobState.RUNNING, event=JobEvent.DELAY, at=at(7), code="triton.timeout", text="slow"
        )
        assert machine.move(tx, JOBS, step)
        last = machine.history(tx, JOBS, job_id)[-1]
        assert machine.count_states(tx, JOBS) == {"queued": 1}
    assert (last.at, last.event, last.state) == (at(7), "delay", "queued")
    assert (last.code, last.text) == ("triton.timeout", "slow")


def test_findings_and_results_of_a_second_run_replace_those_of_the_first(database: Database) -> None:
    job_id = _created(database)
    first, second = a_nodule(1), a_nodule(2)
    seg = StoredResult(role="seg", sop_class_uid="1.2", sop_instance_uid=InstanceUid("1.2.9.1"), file_key="results/s")
    sr = StoredResult(role="sr", sop_class_uid="1.3", sop_instance_uid=InstanceUid("1.2.9.2"), file_key="results/r")
    with database.transaction() as tx:
        for found, stored in (([first], [sr]), ([second, first], [seg, sr])):
            jobs.replace_findings(tx, job_id, found)
            jobs.replace_results(tx, job_id, stored, at(5))
        assert jobs.findings(tx, job_id) == (first, second)
        assert jobs.results(tx, job_id) == (seg, sr)
        jobs.replace_findings(tx, job_id, [])
        jobs.replace_results(tx, job_id, [], at(6))
        assert (jobs.findings(tx, job_id), jobs.results(tx, job_id)) == ((), ())


def test_jobs_are_listed_newest_first_and_by_state(database: Database) -> None:
    done = _created(database)
    _done(database, done)
    queued = _created(database, rule="other")
    with database.transaction() as tx:
        assert [job.id for job in jobs.listed(tx, 10)] == [queued, done]
        assert [job.id for job in jobs.listed(tx, 1)] == [queued]
        assert [job.id for job in jobs.listed(tx, 10, "done")] == [done]
        assert jobs.count_results(tx) == 1


def test_every_destination_gets_one_delivery_however_often_it_is_asked_for(database: Database) -> None:
    job_id = _created(database)
    with database.transaction() as tx:
        assert len(deliveries.create(tx, job_id, ["pacs", "archive"], at(5))) == 2
        assert deliveries.create(tx, job_id, ["pacs", "archive"], at(6)) == ()
        assert [(d.destination, d.state) for d in deliveries.of_job(tx, job_id)] == [
            ("archive", DeliveryState.PENDING),
            ("pacs", DeliveryState.PENDING),
        ]


def test_a_delivery_is_claimed_once_and_sent_again_for_a_new_result(database: Database) -> None:
    job_id = _created(database)
    with database.transaction() as tx:
        (delivery_id,) = deliveries.create(tx, job_id, ["pacs"], at(5))
        assert deliveries.claim(tx, delivery_id, at(6), "a", LEASE_UNTIL)
        assert not deliveries.claim(tx, delivery_id, at(6), "b", LEASE_UNTIL)
        step = Move(row_id=delivery_id, state=DeliveryState.SENDING, event=DeliveryEvent.ACCEPT, at=at(7), holder="a")
        assert machine.move(tx, DELIVERIES, step, delivered_at=at(7))
        assert deliveries.get(tx, delivery_id).delivered_at == at(7)
        assert deliveries.create(tx, job_id, ["pacs"], at(8)) == (delivery_id,)
        again = deliveries.get(tx, delivery_id)
    assert (again.state, again.attempt) == (DeliveryState.PENDING, 0)


def test_only_what_was_not_sent_yet_is_given_up_for_a_newer_result(database: Database) -> None:
    job_id = _created(database)
    with database.transaction() as tx:
        sending, waiting = deliveries.create(tx, job_id, ["a", "b"], at(5))
        assert deliveries.claim(tx, sending, at(6), "a", LEASE_UNTIL)
        deliveries.supersede(tx, job_id, at(7))
        assert deliveries.get(tx, sending).state is DeliveryState.SENDING
        assert deliveries.get(tx, waiting).state is DeliveryState.SUPERSEDED
    assert _ring(database, DELIVERIES, [DeliveryState.PENDING], now_s=999, again_s=998) == []


def test_what_is_not_there_is_not_found(database: Database) -> None:
    with database.transaction() as tx:
        with pytest.raises(NotFound):
            jobs.get(tx, JobId(7))
        with pytest.raises(NotFound):
            deliveries.get(tx, DeliveryId(7))
