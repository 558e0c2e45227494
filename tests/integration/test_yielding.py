"""A routine analysis gives its worker to a STAT study that has none, and waits for one that has."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inference.predictor import Predictor
from pacs_node.archive.queries import jobs, machine, studies
from pacs_node.archive.queries.machine import JOBS, Move
from pacs_node.domain.identifiers import InstanceUid, JobId, SeriesUid, StudyUid
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.rule import Rule
from pacs_node.node import Node
from pacs_node.steps import yielding
from pacs_node.steps.analyse import analyse_job
from pacs_node.steps.lease import new_holder
from pacs_node.steps.plan import plan_study
from pacs_node.steps.sweep import sweep
from tests.support.archive import a_new_job, a_receipt, record
from tests.support.steps import PACS, QUIET_S, Clock, receive

ROUTINE = JobId(1)


class Models:
    """The models, between whose answers something happens."""

    def __init__(self, predictor: Predictor, hook: Callable[[int], object]) -> None:
        self._predictor = predictor
        self._hook = hook
        self.questions = 0

    def infer(self, *args: Any) -> Any:
        self.questions += 1
        self._hook(self.questions)
        return self._predictor.infer(*args)


@pytest.fixture(autouse=True)
def _always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yielding, "LOOK_S", 0.0)


@pytest.fixture
def planned(node: Node, clock: Clock, small_chest: list[Path]) -> Node:
    """A node with a job that waits to be analysed."""
    return _planned(node, clock, small_chest)


def _planned(node: Node, clock: Clock, paths: list[Path]) -> Node:
    receive(node, paths)
    clock.forward(QUIET_S)
    for call in sweep(node):
        plan_study(node, call.row_id)  # type: ignore[arg-type]
    return node


def _with(node: Node, hook: Callable[[int], object]) -> tuple[Node, Models]:
    models = Models(node.predictor(), hook)
    return dataclasses.replace(node, predictor=lambda: models), models


def _queued(node: Node, number: int = 9, *, is_stat: bool = True) -> JobId:
    study = StudyUid(f"1.2.3.{number}")
    names = {"series_instance_uid": SeriesUid(f"{study}.1"), "sop_instance_uid": InstanceUid(f"{study}.1.1")}
    record(node.database, a_receipt(number, study_instance_uid=study, file_key=f"f{number}", **names))
    with node.database.transaction() as tx:
        job_id = jobs.create(tx, a_new_job(studies.find(tx, study).id, is_stat=is_stat), node.now())
    assert job_id is not None
    return job_id


def _begun(node: Node, job_id: JobId, holder: str) -> None:
    with node.database.transaction() as tx:
        assert jobs.claim(tx, job_id, JobEvent.START, node.now(), holder, node.now())


def _ended(node: Node, job_id: JobId, holder: str) -> None:
    step = Move(row_id=job_id, state=JobState.RUNNING, event=JobEvent.REFUSE, at=node.now(), holder=holder)
    with node.database.transaction() as tx:
        assert machine.move(tx, JOBS, step)


def _state(node: Node, job_id: JobId = ROUTINE) -> tuple[JobState, int]:
    with node.database.transaction() as tx:
        job = jobs.get(tx, job_id)
    return job.state, job.attempt


@contextmanager
def _in_the_background(act: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=act)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()


def test_a_routine_job_gives_its_worker_to_a_stat_job_and_keeps_its_attempts(planned: Node) -> None:
    watched, models = _with(planned, lambda number: _queued(planned) if number == 1 else None)
    assert analyse_job(watched, ROUTINE)
    assert _state(planned) == (JobState.QUEUED, 0)
    with planned.database.transaction() as tx:
        assert machine.history(tx, JOBS, ROUTINE)[-1].event == JobEvent.GIVE_WAY
    assert analyse_job(planned, ROUTINE)


def test_it_waits_for_a_stat_job_that_has_a_worker_on_this_machine(planned: Node) -> None:
    stat, holder = _queued(planned), new_holder()
    _begun(planned, stat, holder)
    watched, _ = _with(planned, lambda number: None)
    with _in_the_background(lambda: analyse_job(watched, ROUTINE)) as working:
        working.join(1.0)
        assert _state(planned) == (JobState.RUNNING, 1)
        _ended(planned, stat, holder)
    assert _state(planned)[0] is JobState.ANALYSED


def test_it_gives_way_before_waiting_takes_the_time_of_its_step(planned: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yielding, "LONGEST_PAUSE_S", 0.3)
    _begun(planned, _queued(planned), new_holder())
    assert analyse_job(planned, ROUTINE)
    assert _state(planned) == (JobState.QUEUED, 0)


def test_it_goes_on_beside_a_stat_job_on_another_machine(planned: Node) -> None:
    _begun(planned, _queued(planned), "another-machine/1.1/1.1/0")
    analyse_job(planned, ROUTINE)
    assert _state(planned)[0] is JobState.ANALYSED


def test_of_two_routine_jobs_the_last_one_gives_way_and_the_other_one_waits(planned: Node) -> None:
    last, holder = _queued(planned, 8, is_stat=False), new_holder()
    _begun(planned, last, holder)
    stat = _queued(planned)
    with _in_the_background(lambda: analyse_job(planned, ROUTINE)) as working:
        working.join(1.0)
        assert _state(planned) == (JobState.RUNNING, 1)
        _begun(planned, stat, holder)
        _ended(planned, stat, holder)
    assert _state(planned)[0] is JobState.ANALYSED


def test_a_stat_job_gives_way_to_none(node: Node, clock: Clock, small_chest: list[Path]) -> None:
    rule = Rule(name="chest-ct", destinations=(PACS.name,), is_stat=True)
    urgent = dataclasses.replace(node, config=dataclasses.replace(node.config, rule=(rule,)))
    _planned(urgent, clock, small_chest)
    _queued(urgent)
    analyse_job(urgent, ROUTINE)
    assert _state(urgent)[0] is JobState.ANALYSED
