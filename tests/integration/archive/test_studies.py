"""Indexing what was received, and what it does to the study."""

from __future__ import annotations

import dataclasses
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from pacs_node.archive.queries import jobs, machine, studies
from pacs_node.archive.queries.machine import STUDIES, Move
from pacs_node.archive.records import Event, StoredResult, Study
from pacs_node.archive.session import Database
from pacs_node.domain.identifiers import SeriesUid, StudyId, StudyUid
from pacs_node.domain.rule import Decision, Reason, Rule, Verdict
from pacs_node.domain.study import StudyEvent, StudyState
from pacs_node.errors import InvalidTransition, NotFound
from tests.support.archive import NOON, QUIET_S, SERIES, STUDY, a_new_job, a_receipt, at, record

TO_THE_PLAN = (StudyEvent.QUIET, StudyEvent.START, StudyEvent.PLAN)


def _study(database: Database) -> Study:
    with database.transaction() as tx:
        return studies.find(tx, STUDY)


def _move(database: Database, event: StudyEvent, seconds: float = 100) -> None:
    study = _study(database)
    with database.transaction() as tx:
        assert machine.move(tx, STUDIES, Move(row_id=study.id, state=study.state, event=event, at=at(seconds)))


def _planned(database: Database) -> StudyId:
    record(database, a_receipt(1))
    for event in TO_THE_PLAN:
        _move(database, event)
    return _study(database).id


def _history(database: Database) -> list[tuple[str, str]]:
    study = _study(database)
    with database.transaction() as tx:
        return [(line.event, line.state) for line in machine.history(tx, STUDIES, study.id)]


def test_the_first_instance_opens_the_study(database: Database) -> None:
    assert record(database, a_receipt(1), a_receipt(2, 3)) == 2
    study = _study(database)
    assert (study.state, study.instance_count, study.calling_ae_title) == (StudyState.RECEIVING, 2, "CT1")
    assert (study.first_received_at, study.last_received_at, study.settle_at) == (NOON, at(3), at(3 + QUIET_S))
    with database.transaction() as tx:
        (line,) = machine.history(tx, STUDIES, study.id)
    assert line == Event(at=at(3), event="instance", state="receiving", code=None, text=None)


def test_what_looks_like_sql_is_text(database: Database) -> None:
    title = "x'; DROP TABLE s"
    record(database, dataclasses.replace(a_receipt(1), calling_ae_title=title))
    assert _study(database).calling_ae_title == title


def test_times_come_back_as_aware_utc(database: Database) -> None:
    record(database, a_receipt(1))
    assert _study(database).settle_at.utcoffset() == NOON.utcoffset()


def test_the_same_receipts_again_change_nothing(database: Database) -> None:
    record(database, a_receipt(1), a_receipt(2))
    before = _study(database)
    assert record(database, a_receipt(1, 60), a_receipt(2, 60)) == 0
    assert _study(database) == before


def test_one_instance_twice_in_a_batch_counts_once(database: Database) -> None:
    assert record(database, a_receipt(1), a_receipt(1)) == 1
    assert _study(database).instance_count == 1


def test_every_new_instance_arms_the_settle_time_again(database: Database) -> None:
    record(database, a_receipt(1))
    record(database, a_receipt(2, 20))
    assert _study(database).settle_at == at(20 + QUIET_S)


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))), ids=str)
def test_the_order_in_which_receipts_are_recorded_is_irrelevant(database: Database, order: tuple[int, ...]) -> None:
    for number in order:
        record(database, a_receipt(number, 10.0 * number, calling_ae_title=f"CT{number}"))
    study = _study(database)
    assert (study.last_received_at, study.settle_at, study.calling_ae_title) == (at(30), at(30 + QUIET_S), "CT3")


def test_a_study_is_quiet_when_its_settle_time_has_come_and_not_before(database: Database) -> None:
    record(database, a_receipt(1))
    study = _study(database)
    with database.transaction() as tx:
        assert studies.quiet_studies(tx, at(QUIET_S - 0.001)) == ()
        assert studies.quiet_studies(tx, at(QUIET_S)) == (study.id,)
    _move(database, StudyEvent.QUIET)
    with database.transaction() as tx:
        assert studies.quiet_studies(tx, at(1000)) == ()


@pytest.mark.parametrize("events", [TO_THE_PLAN[:length] for length in (1, 2, 3)], ids=len)
def test_a_late_instance_reopens_the_study(database: Database, events: list[StudyEvent]) -> None:
    record(database, a_receipt(1))
    for event in events:
        _move(database, event)
    record(database, a_receipt(2, 500))
    assert _study(database).state is StudyState.RECEIVING
    assert _study(database).settle_at == at(500 + QUIET_S)
    assert _history(database)[-1] == ("instance", "receiving")


def test_an_instance_found_on_disk_after_a_crash_reopens_the_study_too(database: Database) -> None:
    record(database, a_receipt(1, 50))
    _move(database, StudyEvent.QUIET)
    record(database, a_receipt(2, 10))
    study = _study(database)
    assert (study.state, study.last_received_at) == (StudyState.RECEIVING, at(50))


def test_own_results_that_come_back_are_marked_and_do_not_reopen_the_study(database: Database) -> None:
    study_id = _planned(database)
    came_back = a_receipt(9, 500, series_instance_uid=SeriesUid("1.2.3.9"))
    with database.transaction() as tx:
        job_id = jobs.create(tx, a_new_job(study_id), at(101))
        assert job_id is not None
        mine = StoredResult(
            role="seg",
            sop_class_uid=came_back.sop_class_uid,
            sop_instance_uid=came_back.sop_instance_uid,
            file_key="results/ab/seg.dcm",
        )
        jobs.replace_results(tx, job_id, [mine], at(102))
    assert record(database, came_back) == 1
    assert _study(database).state is StudyState.PLANNED
    with database.transaction() as tx:
        assert [i.is_own_result for i in studies.instances(tx, study_id)] == [False, True]


def test_own_results_do_not_hide_a_late_instance_of_the_same_batch(database: Database) -> None:
    study_id = _planned(database)
    came_back = a_receipt(9, 500)
    with database.transaction() as tx:
        job_id = jobs.create(tx, a_new_job(study_id), at(101))
        assert job_id is not None
        mine = StoredResult(role="sr", sop_class_uid="1.2", sop_instance_uid=came_back.sop_instance_uid, file_key="x")
        jobs.replace_results(tx, job_id, [mine], at(102))
    record(database, came_back, a_receipt(2, 501))
    assert _study(database).state is StudyState.RECEIVING


def test_many_processes_may_index_the_same_instances_at_once(database: Database) -> None:
    receipts = [a_receipt(number, number) for number in range(40)]

    def index(first: int) -> int:
        return sum(record(database, *receipts[start : start + 8]) for start in range(first, 40, 4))

    with ThreadPoolExecutor(4) as pool:
        added = [pool.submit(index, first) for first in range(4)]
        assert sum(number.result(timeout=60) for number in added) == 40
    study = _study(database)
    assert (study.instance_count, study.settle_at) == (40, at(39 + QUIET_S))
    with database.transaction() as tx:
        assert studies.count_instances(tx) == 40
        assert studies.file_keys(tx) == {receipt.file_key for receipt in receipts}


def test_instances_come_by_series_and_uid_and_studies_by_what_arrived_last(database: Database) -> None:
    other = {"study_instance_uid": StudyUid("1.9"), "series_instance_uid": SeriesUid("1.9.1")}
    record(database, a_receipt(2), a_receipt(1, series_instance_uid=SeriesUid("1.2.3.0")), a_receipt(3))
    record(database, a_receipt(4, 60, **other))
    with database.transaction() as tx:
        listed = studies.listed(tx, 10)
        held = studies.instances(tx, studies.find(tx, STUDY).id)
        assert [study.study_instance_uid for study in studies.listed(tx, 1)] == ["1.9"]
    assert [(study.study_instance_uid, study.instance_count) for study in listed] == [("1.9", 1), (STUDY, 3)]
    assert [instance.sop_instance_uid for instance in held] == [f"{SERIES}.{number}" for number in (1, 2, 3)]


def test_the_decisions_of_a_new_plan_replace_those_of_the_one_before(database: Database) -> None:
    study_id = _planned(database)
    gap = Reason(code="series.gap", text="a slice is missing")
    refused = Decision(series_instance_uid=SERIES, verdict=Verdict.INELIGIBLE, rule=Rule(name="r"), reasons=(gap,))
    ignored = Decision(series_instance_uid=SeriesUid("1.2.3.0"), verdict=Verdict.NO_RULE, rule=None, reasons=())
    with database.transaction() as tx:
        studies.replace_decisions(tx, study_id, [ignored], at(1))
        studies.replace_decisions(tx, study_id, [refused, ignored], at(2))
        first, second = studies.decisions(tx, study_id)
        assert (first.verdict, first.rule, first.reasons, first.decided_at) == ("no-rule", None, (), at(2))
        assert (second.verdict, second.rule, second.reasons) == ("ineligible", "r", (gap,))
        studies.replace_decisions(tx, study_id, [], at(3))
        assert studies.decisions(tx, study_id) == ()


def test_a_study_that_is_not_there_is_not_found(database: Database) -> None:
    with database.transaction() as tx:
        with pytest.raises(NotFound):
            studies.get(tx, StudyId(1))
        with pytest.raises(NotFound):
            studies.find(tx, STUDY)


def test_an_event_that_the_state_does_not_allow_is_an_error(database: Database) -> None:
    record(database, a_receipt(1))
    study = _study(database)
    with pytest.raises(InvalidTransition), database.transaction() as tx:
        machine.move(tx, STUDIES, Move(row_id=study.id, state=study.state, event=StudyEvent.PLAN, at=NOON))
    assert _study(database) == study
