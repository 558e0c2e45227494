"""The steps on a real database and real files: what happens between them, and when one of them goes wrong."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from inference.errors import InferenceError, PredictorBroken, PredictorTimeout, PredictorUnavailable
from inference.onnx import OnnxPredictor
from inference.predictor import FloatTensor
from inference.registry import ModelRepository
from pacs_node.archive import records
from pacs_node.archive.queries import jobs, machine, studies
from pacs_node.archive.queries.machine import DELIVERIES, JOBS
from pacs_node.config import Destination
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.instance import Receipt
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.retry import ANALYSE, COMPOSE, DELIVER
from pacs_node.domain.rule import Rule
from pacs_node.domain.step import Step
from pacs_node.errors import PeerUnreachable, StorageFull
from pacs_node.node import Node
from pacs_node.steps.analyse import loaded
from pacs_node.steps.identity import digest, input_digest
from pacs_node.steps.pipelines import pipeline_of
from pacs_node.steps.receive import Receiver
from pacs_node.steps.reindex import reindex
from pacs_node.steps.retry import retry_job
from pacs_node.steps.sweep import sweep
from pacs_node.work.tasks import STEPS
from tests.support.results import a_finding
from tests.support.series import Ball, a_chest_series
from tests.support.steps import (
    LATE_S,
    PACS,
    QUIET_S,
    Clock,
    all_jobs,
    delivery_states,
    findings,
    hooked,
    inside,
    logged,
    receive,
    results,
    run_all,
    run_waiting,
    store,
    uid_of,
)
from tests.support.systems import MALIGNANCY, five_systems


def test_a_study_goes_all_the_way(any_node: Node, clock: Clock, chest: list[Path]) -> None:
    receive(any_node, chest)
    assert run_waiting(any_node) == []
    clock.forward(QUIET_S)
    assert run_waiting(any_node) == [Step.PLAN, Step.ANALYSE, Step.COMPOSE, Step.DELIVER]
    (job,) = all_jobs(any_node)
    assert (job.state, [f.number for f in findings(any_node, job)]) == (JobState.DONE, [1])
    assert delivery_states(any_node, job) == [DeliveryState.DELIVERED]


def test_a_step_that_runs_twice_changes_nothing(any_node: Node, clock: Clock, chest: list[Path]) -> None:
    receive(any_node, chest)
    clock.forward(QUIET_S)
    run_waiting(any_node)
    (job,) = all_jobs(any_node)
    before = [any_node.files.path(item.file_key).read_bytes() for item in results(any_node, job)]
    for step in (Step.PLAN, Step.ANALYSE, Step.COMPOSE, Step.DELIVER):
        STEPS[step](any_node, 1)
    assert all_jobs(any_node) == (job,)
    assert [any_node.files.path(item.file_key).read_bytes() for item in results(any_node, job)] == before


def test_a_study_that_was_reopened_and_settled_while_it_was_planned_is_planned_as_it_is(
    node: Node, clock: Clock, chest: list[Path]
) -> None:
    receive(node, chest[:-5])
    clock.forward(QUIET_S)
    sweep(node)

    class Late:
        """A model repository that is slow enough for five more slices to come and settle."""

        path = node.models.path

        contract = node.models.contract

        def active(self):  # type: ignore[no-untyped-def]
            if clock.time < start + timedelta(seconds=QUIET_S):
                receive(node, chest[-5:])
                clock.forward(QUIET_S)
                sweep(node)
            return node.models.active()

    start = clock.time
    STEPS[Step.PLAN](dataclasses.replace(node, models=Late()), 1)  # type: ignore[arg-type]
    assert all_jobs(node) == ()
    run_all(node)
    (job,) = all_jobs(node)
    assert job.state is JobState.DONE


def test_slices_that_come_after_the_plan_are_left_to_the_next_job(
    any_node: Node, clock: Clock, chest: list[Path]
) -> None:
    receive(any_node, chest[:-5])
    clock.forward(QUIET_S)
    sweep(any_node)
    STEPS[Step.PLAN](any_node, 1)
    clock.forward(1)
    receive(any_node, chest[-5:])
    run_all(any_node)
    clock.forward(LATE_S)
    run_all(any_node)
    first, second = all_jobs(any_node)
    assert (first.state, second.state) == (JobState.DONE, JobState.DONE)
    assert second.supersedes_job_id == first.id
    assert first.input_digest != second.input_digest


def a_node_without_models(node: Node, error: InferenceError) -> Node:
    def away() -> OnnxPredictor:
        raise error

    return dataclasses.replace(node, predictor=away)


def wait_for_models(node: Node, clock: Clock, seconds: float) -> None:
    """Try whatever is due, again and again."""
    until = clock.time + timedelta(seconds=seconds)
    while clock.time < until:
        run_all(node)
        clock.forward(ANALYSE.longest_s)


@pytest.mark.parametrize("error", [PredictorUnavailable(), PredictorTimeout(), PredictorBroken()])
def test_a_job_waits_for_models_that_are_away_and_keeps_its_attempts(
    node: Node, clock: Clock, chest: list[Path], error: InferenceError
) -> None:
    receive(node, chest)
    clock.forward(QUIET_S)
    wait_for_models(a_node_without_models(node, error), clock, 3600)
    (job,) = all_jobs(node)
    assert (job.state, job.attempt) == (JobState.QUEUED, 0)
    with node.database.transaction() as tx:
        assert {event.code for event in machine.history(tx, JOBS, job.id) if event.event == JobEvent.DELAY} == {
            error.code
        }
    run_all(node)
    (job,) = all_jobs(node)
    assert (job.state, job.reasons) == (JobState.DONE, ())
    assert len(findings(node, job)) == 1


def test_models_that_are_away_for_a_day_end_in_a_report_that_says_so(
    node: Node, clock: Clock, chest: list[Path]
) -> None:
    receive(node, chest)
    clock.forward(QUIET_S)
    broken = a_node_without_models(node, PredictorUnavailable())
    run_all(broken)
    clock.forward(86400)
    wait_for_models(broken, clock, (ANALYSE.attempts + 3) * ANALYSE.longest_s)
    (job,) = all_jobs(node)
    assert job.state is JobState.DONE
    assert [reason.code for reason in job.reasons] == ["triton.unavailable"]
    assert [item.role for item in results(node, job)] == ["sr"]


def test_a_job_that_is_old_when_the_models_go_away_waits_for_them_as_long_as_others(
    node: Node, clock: Clock, small_chest: list[Path]
) -> None:
    """It may have waited for its turn for days, or have been asked for again."""
    receive(node, small_chest)
    clock.forward(QUIET_S)
    sweep(node)
    STEPS[Step.PLAN](node, 1)
    clock.forward(3 * 86400)
    attempts = []
    for _ in range(3):
        STEPS[Step.ANALYSE](a_node_without_models(node, PredictorUnavailable()), 1)
        attempts.append(all_jobs(node)[0].attempt)
        clock.forward(86400)
    assert attempts == [0, 0, 1], "waiting counts as no attempt, for a day from when it began"


def test_a_disk_that_fails_for_hours_costs_neither_an_attempt_nor_the_findings(
    node: Node, clock: Clock, small_chest: list[Path]
) -> None:
    class Disk:
        """The files of the node, on a disk to which nothing can be written."""

        def __getattr__(self, name: str) -> Any:
            return getattr(node.files, name)

        def store_result(self, name: str, content: bytes) -> str:
            raise StorageFull

    failing = dataclasses.replace(node, files=Disk())  # type: ignore[arg-type]
    receive(node, small_chest)
    clock.forward(QUIET_S)
    sweep(node)
    STEPS[Step.PLAN](node, 1)
    waited = []
    for step in (Step.ANALYSE, Step.COMPOSE):
        for _ in range(1 + max(ANALYSE.attempts, COMPOSE.attempts)):
            STEPS[step](failing, 1)
            clock.forward(1800)
        (job,) = all_jobs(node)
        waited.append((job.state, job.attempt))
        STEPS[step](node, 1)
    assert waited == [(JobState.QUEUED, 0), (JobState.ANALYSED, 0)]
    (job,) = all_jobs(node)
    assert (job.state, job.reasons) == (JobState.DONE, ())


@pytest.mark.parametrize("count", [3, 24], ids=["refused", "analysed"])
def test_what_is_indexed_after_the_plan_is_in_another_result(
    node: Node, clock: Clock, tmp_path: Path, count: int
) -> None:
    """Instances are durable before the index has them: these were stored when the plan was made, and not in it."""
    slices = a_chest_series(tmp_path, slices=27, spacing_mm=4.0, balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=14)])
    late: list[Receipt] = []
    receiver = Receiver(node.files, record=late.extend, now=node.now)
    receive(node, slices[:count])
    clock.forward(QUIET_S)
    sweep(node)
    store(receiver, slices[count:])
    assert receiver.flush()
    receiver.close()
    STEPS[Step.PLAN](node, 1)
    STEPS[Step.ANALYSE](node, 1)
    with node.database.transaction() as tx:
        studies.record_receipts(tx, late, node.config.settle.quiet_for)
    STEPS[Step.COMPOSE](node, 1)
    clock.forward(LATE_S)
    run_all(node)
    first, second = all_jobs(node)
    assert (first.state, results(node, first)) == (JobState.SUPERSEDED, ())
    assert second.state is JobState.DONE
    with node.database.transaction() as tx:
        assert second.input_digest == input_digest(studies.instances(tx, StudyId(1)), ())
    assert results(node, second)


class Fatal:
    """Answers its canaries, and is gone as soon as it is asked about a job."""

    def __init__(self, node: Node) -> None:
        self._real = node.predictor()
        self.deaths = 0

    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        if any(tensor.any() for tensor in inputs.values()):
            self.deaths += 1
            raise PredictorUnavailable
        return self._real.infer(model, version, inputs, outputs)


def test_a_job_that_costs_a_server_each_time_has_no_more_attempts_than_others(
    node: Node, clock: Clock, chest: list[Path]
) -> None:
    fatal = Fatal(node)
    receive(node, chest)
    clock.forward(QUIET_S)
    wait_for_models(dataclasses.replace(node, predictor=lambda: fatal), clock, 3600)
    (job,) = all_jobs(node)
    assert job.state is JobState.DONE
    assert [reason.code for reason in job.reasons] == ["triton.unavailable"]
    assert fatal.deaths == ANALYSE.attempts


def test_a_job_that_kills_every_worker_is_given_up_with_a_report(node: Node, clock: Clock, chest: list[Path]) -> None:
    receive(node, chest)
    clock.forward(QUIET_S)
    sweep(node)
    STEPS[Step.PLAN](node, 1)
    for _ in range(ANALYSE.attempts):
        claim_and_die(node, clock)
    run_all(node)
    (job,) = all_jobs(node)
    assert job.state is JobState.DONE
    assert [reason.code for reason in job.reasons] == ["job.worker-lost"]


def test_findings_that_the_own_check_refuses_end_in_a_report_that_says_so(
    node: Node, clock: Clock, chest: list[Path]
) -> None:
    receive(node, chest)
    clock.forward(QUIET_S)
    sweep(node)
    STEPS[Step.PLAN](node, 1)
    STEPS[Step.ANALYSE](node, 1)
    (job,) = all_jobs(node)
    shift_the_findings(node, job)
    run_all(node)
    (job,) = all_jobs(node)
    assert job.state is JobState.DONE
    assert [reason.code for reason in job.reasons] == ["result.invalid"]
    assert findings(node, job) == ()
    assert [item.role for item in results(node, job)] == ["sr"]


@pytest.mark.parametrize(("bars", "warnings"), [(9, []), (10, [{"job_id": 1, "document": "seg", "count": 400}])])
def test_the_log_says_of_a_segmentation_that_viewers_may_switch_it_off(
    node: Node, clock: Clock, chest: list[Path], bars: int, warnings: list[dict[str, Any]]
) -> None:
    """Each bar lies in all 40 slices, and so do the lungs, which are a SEG of their own; nothing is left out."""
    with_lungs = dataclasses.replace(PACS, profile=("seg+sr", "lungs"))
    node = dataclasses.replace(node, config=dataclasses.replace(node.config, destination=(with_lungs,)))
    receive(node, chest)
    clock.forward(QUIET_S)
    sweep(node)
    STEPS[Step.PLAN](node, 1)
    STEPS[Step.ANALYSE](node, 1)
    (job,) = all_jobs(node)
    put_bars(node, job, bars)
    with logged("segmentation_large") as said:
        run_all(node)
    (job,) = all_jobs(node)
    kept = {item.role: node.files.path(item.file_key) for item in results(node, job)}
    assert [pydicom.dcmread(kept[role]).NumberOfFrames for role in ("seg", "lungs")] == [40 * bars, 40]
    assert said == warnings


def test_a_destination_that_is_away_gets_the_result_when_it_is_back(
    node: Node, clock: Clock, chest: list[Path]
) -> None:
    sent: list[Sequence[Path]] = []

    def away(destination: Destination, paths: Sequence[Path]) -> None:
        sent.append(paths)
        if len(sent) < 3:
            raise PeerUnreachable

    flaky = dataclasses.replace(node, send=away)
    receive(node, chest)
    clock.forward(QUIET_S)
    for _ in range(3):
        run_all(flaky)
        clock.forward(DELIVER.longest_s)
    (job,) = all_jobs(node)
    assert delivery_states(node, job) == [DeliveryState.DELIVERED]
    assert len(sent) == 3
    assert sent[0] == sent[1] == sent[2]


def test_a_destination_that_hangs_delays_neither_the_others_nor_an_analysis(
    node: Node, clock: Clock, small_chest: list[Path], tmp_path: Path
) -> None:
    """Whatever the other workers do while one hangs, they do here in the middle of its sending."""
    sent: list[str] = []
    names = ("dead", "alive")
    peers = tuple(dataclasses.replace(node.config.destination[0], name=name) for name in names)
    config = dataclasses.replace(node.config, destination=peers, rule=(Rule(name="chest-ct", destinations=names),))

    def send(destination: Destination, paths: Sequence[Path]) -> None:
        sent.append(destination.name)
        if destination.name == "dead" and sent.count("dead") == 1:
            receive(node, a_chest_series(tmp_path, slices=3, study="other", series="other"))
            clock.forward(QUIET_S)
            run_all(busy)
            raise PeerUnreachable

    busy = dataclasses.replace(node, config=config, send=send)
    receive(node, small_chest)
    clock.forward(QUIET_S)
    run_all(busy)
    assert sent == ["dead", "alive", "alive"]
    with node.database.transaction() as tx:
        assert machine.count_states(tx, JOBS) == {"done": 2}
        assert machine.count_states(tx, DELIVERIES) == {"delivered": 2, "pending": 2}


@pytest.mark.parametrize("is_settling", [False, True], ids=["one quiet time", "a quiet time after each burst"])
def test_bursts_of_late_slices_while_the_first_job_runs_make_one_revision(
    node: Node, clock: Clock, chest: list[Path], is_settling: bool
) -> None:
    """All of them come before the study is quiet again, or each is planned, and supersedes the plan before it."""
    first, late = chest[:-6], chest[-6:]
    came: list[Path] = []

    def bursts() -> None:
        if came:
            return
        for number in range(0, len(late), 2):
            came.extend(late[number : number + 2])
            receive(node, late[number : number + 2])
            clock.forward(QUIET_S if is_settling else QUIET_S / 2)
            sweep(node)
            STEPS[Step.PLAN](node, 1)

    receive(node, first)
    clock.forward(QUIET_S)
    sweep(node)
    STEPS[Step.PLAN](node, 1)
    clock.forward(1)
    STEPS[Step.ANALYSE](hooked(node, Step.ANALYSE, bursts), 1)
    run_all(node)
    clock.forward(LATE_S)
    run_all(node)
    assert len(came) == len(late)
    made = [job for job in all_jobs(node) if results(node, job)]
    assert [job.state for job in all_jobs(node) if job not in made] == [JobState.SUPERSEDED] * (3 if is_settling else 0)
    assert [job.supersedes_job_id for job in made] == ([None] if is_settling else [None, made[0].id])
    with node.database.transaction() as tx:
        assert made[-1].input_digest == input_digest(studies.instances(tx, StudyId(1)), ())


def test_bursts_of_late_slices_after_the_first_result_make_one_revision(
    node: Node, clock: Clock, small_chest: list[Path]
) -> None:
    receive(node, small_chest[:-6])
    clock.forward(QUIET_S)
    run_all(node)
    for number in range(-6, 0, 2):
        receive(node, [small_chest[number], small_chest[number + 1]])
        clock.forward(LATE_S - 1)
        run_all(node)
    clock.forward(1)
    run_all(node)
    first, second = all_jobs(node)
    assert (first.state, second.state, second.supersedes_job_id) == (JobState.DONE, JobState.DONE, first.id)
    with node.database.transaction() as tx:
        assert second.input_digest == input_digest(studies.instances(tx, StudyId(1)), ())


@pytest.mark.parametrize("is_changed", [True, False], ids=["slices of its series", "another series"])
def test_a_revision_waits_for_what_comes_while_it_is_analysed(
    node: Node, clock: Clock, chest: list[Path], tmp_path: Path, is_changed: bool
) -> None:
    """It is given up for one of all slices, or composed after the plan has seen that nothing of it has changed."""
    burst = chest[-2:] if is_changed else a_chest_series(tmp_path / "other", slices=1, series="2")
    receive(node, chest[:-4])
    clock.forward(QUIET_S)
    run_all(node)
    receive(node, chest[-4:-2])
    clock.forward(LATE_S)
    sweep(node)
    STEPS[Step.PLAN](node, 1)
    came: list[Path] = []

    def late() -> None:
        if not came:
            came.extend(burst)
            receive(node, burst)

    STEPS[Step.ANALYSE](hooked(node, Step.ANALYSE, late), 2)
    run_all(node)
    assert [job.state for job in all_jobs(node)] == [JobState.DONE, JobState.ANALYSED]
    clock.forward(LATE_S)
    run_waiting(node)
    states = [job.state for job in all_jobs(node)]
    assert states == [JobState.DONE, *([JobState.SUPERSEDED] if is_changed else []), JobState.DONE]


def test_a_fault_that_nobody_foresaw_ends_in_a_report_without_its_text(
    node: Node, clock: Clock, chest: list[Path]
) -> None:
    def faulty() -> OnnxPredictor:
        raise ValueError("CANARY^PATIENT")

    receive(node, chest)
    clock.forward(QUIET_S)
    run_all(dataclasses.replace(node, predictor=faulty))
    (job,) = all_jobs(node)
    assert job.state is JobState.DONE
    (reason,) = job.reasons
    assert reason.code == "step.unexpected"
    assert "ValueError" in reason.text
    assert "CANARY" not in reason.text


def test_a_series_that_cannot_be_read_does_not_keep_the_others_waiting(
    node: Node, clock: Clock, chest: list[Path], tmp_path: Path
) -> None:
    receive(node, chest)
    (broken,) = a_chest_series(tmp_path / "broken", slices=1, series="2")
    receive(node, [broken])
    with node.database.transaction() as tx:
        (held,) = [i for i in studies.instances(tx, StudyId(1)) if i.sop_instance_uid == uid_of(broken)]
    node.files.path(held.file_key).write_bytes(b"no DICOM at all")
    clock.forward(QUIET_S)
    run_all(node)
    (job,) = all_jobs(node)
    assert job.state is JobState.DONE
    assert job.reasons == ()
    decided = {d.series_instance_uid: d for d in inside(node, lambda tx: studies.decisions(tx, StudyId(1)))}
    assert [reason.code for reason in decided[held.series_instance_uid].reasons] == ["series.unreadable"]


@pytest.mark.parametrize("step", [Step.PLAN, Step.ANALYSE])
def test_a_disk_that_fails_for_a_while_costs_time_only(
    node: Node, clock: Clock, small_chest: list[Path], step: Step
) -> None:
    receive(node, small_chest)
    clock.forward(QUIET_S)
    sweep(node)
    if step is Step.ANALYSE:
        STEPS[Step.PLAN](node, 1)
    with node.database.transaction() as tx:
        path = node.files.path(studies.instances(tx, StudyId(1))[-1].file_key)
    kept = path.rename(path.with_suffix(".kept"))
    path.symlink_to("/proc/self/mem")  # where reading is an I/O error
    STEPS[step](node, 1)
    path.unlink()
    kept.rename(path)
    clock.forward(ANALYSE.longest_s)
    run_all(node)
    (job,) = all_jobs(node)
    assert (job.state, job.reasons, len(findings(node, job))) == (JobState.DONE, (), 1)
    states = machine.STUDIES if step is Step.PLAN else JOBS
    told = [line.code for line in inside(node, lambda tx: machine.history(tx, states, 1)) if line.event == "delay"]
    assert told == ["series.inaccessible"]


def test_an_old_result_does_not_leave_after_the_newer_one(any_node: Node, clock: Clock, chest: list[Path]) -> None:
    sent: list[Sequence[Path]] = []

    def overtaken(destination: Destination, paths: Sequence[Path]) -> None:
        sent.append(paths)
        if len(sent) == 1:  # while this hangs, late slices lead to a newer result, which leaves at once
            receive(any_node, chest[-5:])
            clock.forward(LATE_S)
            run_all(slow)
            raise PeerUnreachable

    slow = dataclasses.replace(any_node, send=overtaken)
    receive(any_node, chest[:-5])
    clock.forward(QUIET_S)
    run_all(slow)
    clock.forward(DELIVER.longest_s)
    run_all(slow)
    first, second = all_jobs(any_node)
    assert delivery_states(any_node, first) == [DeliveryState.SUPERSEDED]
    assert delivery_states(any_node, second) == [DeliveryState.DELIVERED]
    assert len(sent) == 2


def test_a_result_that_changes_while_it_is_sent_is_sent_again(node: Node, clock: Clock, chest: list[Path]) -> None:
    sent: list[list[bytes]] = []

    def slow(destination: Destination, paths: Sequence[Path]) -> None:
        sent.append([path.read_bytes() for path in paths])
        if len(sent) == 1:  # meanwhile an administrator changes how reports are written, and asks for another run
            retry_job(changed, all_jobs(node)[0].id)
            run_all(changed)

    report = dataclasses.replace(node.config.report, ohif_hydration=True)
    changed = dataclasses.replace(node, config=dataclasses.replace(node.config, report=report), send=slow)
    receive(node, chest)
    clock.forward(QUIET_S)
    run_all(dataclasses.replace(node, send=slow))
    (job,) = all_jobs(node)
    assert delivery_states(node, job) == [DeliveryState.DELIVERED]
    assert len(sent) == 2
    assert sent[1] == [node.files.path(item.file_key).read_bytes() for item in results(node, job)]
    assert sent[0] != sent[1]


def test_a_job_that_was_superseded_is_revived_when_the_study_is_again_what_it_was(
    any_node: Node, clock: Clock, chest: list[Path]
) -> None:
    receive(any_node, chest)
    clock.forward(QUIET_S)
    sweep(any_node)
    STEPS[Step.PLAN](any_node, 1)
    (job,) = all_jobs(any_node)
    first = planned_as(job)
    inside(any_node, lambda tx: (jobs.create(tx, dataclasses.replace(first, model_digest="f" * 64), clock.time),))
    assert [job.state for job in all_jobs(any_node)] == [JobState.SUPERSEDED, JobState.QUEUED]
    inside(any_node, lambda tx: (jobs.create(tx, first, clock.time),))
    assert [job.state for job in all_jobs(any_node)] == [JobState.QUEUED, JobState.SUPERSEDED]


def test_instances_that_the_index_lost_are_found_again(any_node: Node, clock: Clock, chest: list[Path]) -> None:
    receiver = Receiver(any_node.files, record=lambda receipts: None, now=any_node.now)
    store(receiver, chest)
    receiver.close()
    assert reindex(any_node) == len(chest)
    assert reindex(any_node) == 0
    clock.forward(QUIET_S)
    run_all(any_node)
    assert [job.state for job in all_jobs(any_node)] == [JobState.DONE]


def test_each_rule_gets_the_systems_that_it_chooses(node: Node, clock: Clock, tmp_path: Path) -> None:
    rules = {
        "mt_net": Rule(name="a", description=("A",), pipeline="mt_net"),
        "dsnet": Rule(name="b", description=("B",), pipeline="dsnet"),
        "jnsc+hr_mpf": Rule(name="c", description=("C",), malignancy="hr_mpf"),
    }
    models = ModelRepository(five_systems(tmp_path / "five"))
    config = dataclasses.replace(node.config, rule=tuple(rules.values()))
    several = dataclasses.replace(node, config=config, models=models, predictor=lambda: OnnxPredictor(models))
    ball = Ball(centre_lps=(70, 0, 0), diameter_mm=14)
    for name in ("A", "B", "C"):
        receive(several, a_chest_series(tmp_path / name, slices=40, balls=[ball], series=name, SeriesDescription=name))
    clock.forward(QUIET_S)
    run_all(several)
    done = {job.pipeline: job for job in all_jobs(several)}
    assert {name: (job.state, job.reasons) for name, job in done.items()} == dict.fromkeys(rules, (JobState.DONE, ()))
    of_the_head = round(math.exp(1) / (math.exp(4) + math.exp(1)), 6)  # see `ball_repository`
    said = {name: [round(f.malignancy, 6) for f in findings(several, job)] for name, job in done.items()}
    assert said == {"mt_net": [MALIGNANCY["mt_net"]], "dsnet": [of_the_head], "jnsc+hr_mpf": [MALIGNANCY["hr_mpf"]]}
    assert [(use.role, use.name) for use in done["mt_net"].models] == [
        ("detector", "jnsc"),
        ("head", "jnsc_head"),
        ("segmentation", "mt_net_coarse"),
        ("segmentation", "mt_net_fine"),
        ("malignancy", "mt_net_coarse"),
        ("malignancy", "mt_net_class"),
    ]
    for job in done.values():
        (report,) = (item for item in results(several, job) if item.role == "sr")
        sent = several.files.path(report.file_key).read_bytes()
        assert all(f"{use.name} version 1 ({use.role}), SHA-256 {use.sha256}".encode() in sent for use in job.models)


def claim_and_die(node: Node, clock: Clock) -> None:
    """Take the job as a worker does, and never say anything again."""
    with node.database.transaction() as tx:
        (job,) = jobs.listed(tx, 1)
        assert jobs.claim(tx, job.id, JobEvent.START, clock.time, "elsewhere/1.2/3", clock.time + timedelta(seconds=60))
    clock.forward(61)
    sweep(node)


def shift_the_findings(node: Node, job: records.Job) -> None:
    """Move the masks of an analysed job by five slices, as a fault in the geometry would."""
    from pacs_node.archive.findings import decoded, encoded

    assert job.findings_key is not None
    path = node.files.path(job.findings_key)
    result = decoded(path.read_bytes())
    moved = []
    for finding in result.findings:
        k, j, i = finding.mask.start_kji
        mask = dataclasses.replace(finding.mask, start_kji=(k + 5, j, i))
        moved.append(dataclasses.replace(finding, mask=mask))
    path.write_bytes(encoded(dataclasses.replace(result, findings=tuple(moved))))


def put_bars(node: Node, job: records.Job, count: int) -> None:
    """Make so many bars through all slices the findings of an analysed job."""
    from pacs_node.archive.findings import decoded, encoded

    assert job.findings_key is not None
    path = node.files.path(job.findings_key)
    result = decoded(path.read_bytes())
    with node.database.transaction() as tx:
        files = [node.files.path(item.file_key) for item in studies.instances(tx, job.study_id)]
    _, volume = loaded(files, pipeline_of(node.models, job).detector)
    bars = []
    for number in range(1, count + 1):
        mask = np.zeros(result.grid.shape_kji, bool)
        mask[:, 130:136, 40 + 8 * number : 46 + 8 * number] = True
        bars.append(a_finding(result.grid, volume.volume_hu, mask, number))
    path.write_bytes(encoded(dataclasses.replace(result, findings=tuple(bars))))
    (nodule,) = findings(node, job)
    named = [dataclasses.replace(nodule, number=n, tracking_uid=f"2.25.{n}") for n in range(1, count + 1)]
    with node.database.transaction() as tx:
        jobs.replace_findings(tx, job.id, named)


def planned_as(job: records.Job) -> records.NewJob:
    """What a plan said when it made this job."""
    models = [dataclasses.asdict(model) for model in job.models]
    return records.NewJob(
        study_id=job.study_id,
        series_instance_uid=job.series_instance_uid,
        rule=job.rule,
        pipeline=job.pipeline,
        input_digest=job.input_digest,
        models=job.models,
        model_digest=digest(models),
        destinations=job.destinations,
        reasons=(),
    )
