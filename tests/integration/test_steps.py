"""The steps on a real database and real files: what happens between them, and when one of them goes wrong."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pydicom
import pytest

from inference.errors import PredictorUnavailable
from inference.onnx import OnnxPredictor
from inference.registry import ModelRepository
from pacs_node.archive import records
from pacs_node.archive.queries import deliveries, jobs, machine, studies
from pacs_node.config import Config, Database, Destination, Scp, Settle, Triton
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.retry import ANALYSE, DELIVER
from pacs_node.domain.rule import Rule
from pacs_node.domain.step import Call, Step
from pacs_node.errors import PeerUnreachable
from pacs_node.node import Node, build
from pacs_node.steps.identity import digest
from pacs_node.steps.receive import Receiver
from pacs_node.steps.reindex import reindex
from pacs_node.steps.retry import retry_job
from pacs_node.steps.sweep import sweep, waiting
from pacs_node.work.tasks import STEPS
from tests.support.detectors import ball_repository
from tests.support.instances import a_request, encoded
from tests.support.series import Ball, a_chest_series
from tests.support.systems import MALIGNANCY, five_systems

PACS = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=1)
QUIET_S = 10.0


@dataclasses.dataclass(slots=True)
class Clock:
    """A clock that only tests move."""

    time: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A CT with one nodule."""
    return a_chest_series(tmp_path_factory.mktemp("ct"), slices=40, balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=14)])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose detector finds balls."""
    return ball_repository(tmp_path_factory.mktemp("models"))


@pytest.fixture
def clock() -> Clock:
    """The clock of the node."""
    return Clock()


@pytest.fixture
def node(database_url: str, models: Path, tmp_path: Path, clock: Clock) -> Iterator[Node]:
    """A node whose only destination takes everything."""
    config = Config(
        data=tmp_path,
        models=models,
        scp=Scp(minimum_free_bytes=0),
        settle=Settle(quiet_s=QUIET_S),
        rule=(Rule(name="chest-ct", destinations=("pacs",)),),
        destination=(PACS,),
        triton=Triton(mode="onnx", threads=1),
        database=Database(url=database_url),
    )
    opened = build(config)
    yield dataclasses.replace(opened, now=clock, chance=lambda: 0.5, send=lambda destination, paths: None)
    opened.database.close()


def test_a_study_goes_all_the_way(node: Node, clock: Clock, chest: list[Path]) -> None:
    receive(node, chest)
    assert run_waiting(node) == []
    clock.forward(QUIET_S)
    assert run_waiting(node) == [Step.PLAN, Step.ANALYSE, Step.COMPOSE, Step.DELIVER]
    (job,) = all_jobs(node)
    assert (job.state, [f.number for f in findings(node, job)]) == (JobState.DONE, [1])
    assert delivery_states(node, job) == [DeliveryState.DELIVERED]


def test_a_step_that_runs_twice_changes_nothing(node: Node, clock: Clock, chest: list[Path]) -> None:
    receive(node, chest)
    clock.forward(QUIET_S)
    run_waiting(node)
    (job,) = all_jobs(node)
    before = [node.files.path(item.file_key).read_bytes() for item in results(node, job)]
    for step in (Step.PLAN, Step.ANALYSE, Step.COMPOSE, Step.DELIVER):
        STEPS[step](node, 1)
    assert all_jobs(node) == (job,)
    assert [node.files.path(item.file_key).read_bytes() for item in results(node, job)] == before


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


def test_slices_that_come_after_the_plan_are_left_to_the_next_job(node: Node, clock: Clock, chest: list[Path]) -> None:
    receive(node, chest[:-5])
    clock.forward(QUIET_S)
    sweep(node)
    STEPS[Step.PLAN](node, 1)
    clock.forward(1)
    receive(node, chest[-5:])
    run_all(node)
    clock.forward(QUIET_S)
    run_all(node)
    first, second = all_jobs(node)
    assert (first.state, second.state) == (JobState.DONE, JobState.DONE)
    assert second.supersedes_job_id == first.id
    assert first.input_digest != second.input_digest


def test_a_model_that_is_away_for_long_ends_in_a_report_that_says_so(
    node: Node, clock: Clock, chest: list[Path]
) -> None:
    def away() -> OnnxPredictor:
        raise PredictorUnavailable

    broken = dataclasses.replace(node, predictor=away)
    receive(node, chest)
    clock.forward(QUIET_S)
    for _ in range(ANALYSE.attempts + 3):
        run_all(broken)
        clock.forward(ANALYSE.longest_s)
    (job,) = all_jobs(node)
    assert job.state is JobState.DONE
    assert [reason.code for reason in job.reasons] == ["triton.unavailable"]
    assert [item.role for item in results(node, job)] == ["sr"]


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


def test_an_old_result_does_not_leave_after_the_newer_one(node: Node, clock: Clock, chest: list[Path]) -> None:
    sent: list[Sequence[Path]] = []

    def overtaken(destination: Destination, paths: Sequence[Path]) -> None:
        sent.append(paths)
        if len(sent) == 1:  # while this hangs, late slices lead to a newer result, which leaves at once
            receive(node, chest[-5:])
            clock.forward(QUIET_S)
            run_all(slow)
            raise PeerUnreachable

    slow = dataclasses.replace(node, send=overtaken)
    receive(node, chest[:-5])
    clock.forward(QUIET_S)
    run_all(slow)
    clock.forward(DELIVER.longest_s)
    run_all(slow)
    first, second = all_jobs(node)
    assert delivery_states(node, first) == [DeliveryState.SUPERSEDED]
    assert delivery_states(node, second) == [DeliveryState.DELIVERED]
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
    node: Node, clock: Clock, chest: list[Path]
) -> None:
    receive(node, chest)
    clock.forward(QUIET_S)
    sweep(node)
    STEPS[Step.PLAN](node, 1)
    (job,) = all_jobs(node)
    first = planned_as(job)
    inside(node, lambda tx: (jobs.create(tx, dataclasses.replace(first, model_digest="f" * 64), clock.time),))
    assert [job.state for job in all_jobs(node)] == [JobState.SUPERSEDED, JobState.QUEUED]
    inside(node, lambda tx: (jobs.create(tx, first, clock.time),))
    assert [job.state for job in all_jobs(node)] == [JobState.QUEUED, JobState.SUPERSEDED]


def test_instances_that_the_index_lost_are_found_again(node: Node, clock: Clock, chest: list[Path]) -> None:
    receiver = Receiver(node.files, record=lambda receipts: None, now=node.now)
    store(receiver, chest)
    receiver.close()
    assert reindex(node) == len(chest)
    assert reindex(node) == 0
    clock.forward(QUIET_S)
    run_all(node)
    assert [job.state for job in all_jobs(node)] == [JobState.DONE]


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


def receive(node: Node, paths: Sequence[Path]) -> None:
    """Store and index files, as the SCP does."""

    def record(receipts: Sequence[object]) -> None:
        with node.database.transaction() as tx:
            studies.record_receipts(tx, receipts, node.config.settle.quiet_for)  # type: ignore[arg-type]

    receiver = Receiver(node.files, record=record, now=node.now)
    store(receiver, paths)
    assert receiver.flush()
    receiver.close()


def store(receiver: Receiver, paths: Sequence[Path]) -> None:
    """Put files into the inbox."""
    for path in paths:
        dataset = pydicom.dcmread(path)
        draft = receiver.open(a_request(dataset))
        draft.write(encoded(dataset))
        draft.commit()


def run_waiting(node: Node) -> list[Step]:
    """Sweep, then run whatever waits until nothing does; the steps that ran."""
    ran: list[Step] = []
    calls: tuple[Call, ...] = sweep(node)
    while calls:
        for call in calls:
            STEPS[call.step](node, call.row_id)
            ran.append(call.step)
        calls = waiting(node)
    return ran


def run_all(node: Node) -> None:
    """As `run_waiting`, also for rows that were rung for before."""
    with node.database.transaction() as tx:
        for states in (machine.STUDIES, machine.JOBS, machine.DELIVERIES):
            machine.forget_rings(tx, states)
    run_waiting(node)


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


def uid_of(path: Path) -> str:
    """The SOP Instance UID of a file."""
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


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


def all_jobs(node: Node) -> tuple[records.Job, ...]:
    """Every job, oldest first."""
    return inside(node, lambda tx: jobs.of_study(tx, StudyId(1)))


def findings(node: Node, job: records.Job) -> tuple[records.FoundNodule, ...]:
    """What a job found."""
    return inside(node, lambda tx: jobs.findings(tx, job.id))


def results(node: Node, job: records.Job) -> tuple[records.StoredResult, ...]:
    """What a job composed."""
    return inside(node, lambda tx: jobs.results(tx, job.id))


def delivery_states(node: Node, job: records.Job) -> list[DeliveryState]:
    """How the deliveries of a job are."""
    return [delivery.state for delivery in inside(node, lambda tx: deliveries.of_job(tx, job.id))]


def inside(node: Node, ask: Callable[..., tuple]) -> tuple:  # type: ignore[type-arg]
    """The answer to a query."""
    with node.database.transaction() as tx:
        return ask(tx)
