"""A node whose steps tests run one by one, with a clock that only they move."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom

from pacs_node.archive import records
from pacs_node.archive.queries import deliveries, jobs, machine, studies
from pacs_node.config import Config, Database, Destination, Scp, Settle, Triton
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.rule import Rule
from pacs_node.domain.step import Call, Step
from pacs_node.node import Node, build
from pacs_node.steps.lease import new_holder
from pacs_node.steps.receive import Receiver
from pacs_node.steps.retain import leaving
from pacs_node.steps.sweep import sweep, waiting
from pacs_node.work.tasks import STEPS
from tests.support.instances import a_request, encoded

PACS = Destination(name="pacs", ae_title="PACS", host="127.0.0.1", port=1)
QUIET_S = 10.0
LATE_S = 30.0
"""For a study that has a result already."""


@dataclasses.dataclass(slots=True)
class Clock:
    """A clock that only tests move."""

    time: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)


@contextmanager
def opened_node(
    database_url: str, models: Path, data: Path, clock: Clock, *destinations: Destination
) -> Iterator[Node]:
    """A node whose destinations take everything."""
    names = tuple(destination.name for destination in destinations)
    config = Config(
        data=data,
        models=models,
        scp=Scp(minimum_free_bytes=0),
        settle=Settle(quiet_s=QUIET_S, late_factor=LATE_S / QUIET_S),
        rule=(Rule(name="chest-ct", destinations=names),),
        destination=destinations,
        triton=Triton(mode="onnx", threads=1),
        database=Database(url=database_url),
    )
    opened = build(config)
    yield dataclasses.replace(
        opened,
        now=clock,
        chance=lambda: 0.5,
        send=lambda destination, paths: None,
        probe=lambda destination, classes: frozenset(),
    )
    opened.database.close()


def hooked(node: Node, step: Step, hook: Callable[[], None]) -> Node:
    """The node, but whatever happens in `hook` happens in the middle of this step."""

    class Models:
        """The model repository, which plan, analyse and compose ask."""

        def __getattr__(self, name: str) -> Any:
            if name == ("active" if step is Step.PLAN else "contract"):
                hook()
            return getattr(node.models, name)

    def send(destination: Destination, paths: Sequence[Path]) -> None:
        hook()
        node.send(destination, paths)

    if step is Step.DELIVER:
        return dataclasses.replace(node, send=send)
    return dataclasses.replace(node, models=Models())  # type: ignore[arg-type]


def a_dead_holder(*, with_parent: bool = False) -> str:
    """The token of a process of this machine that is dead, alone or with the one that started it."""
    where, process, parent, chance = new_holder().rsplit("/", 3)
    return "/".join([where, _earlier(process), _earlier(parent) if with_parent else parent, chance])


def _earlier(process: str) -> str:
    """The name of a process that had the same number before."""
    pid, _, started = process.partition(".")
    return f"{pid}.{int(started) - 1}"


def receive(node: Node, paths: Sequence[Path]) -> None:
    """Store and index files, as the SCP does."""

    def record(receipts: Sequence[object]) -> None:
        with node.database.transaction() as tx:
            studies.record_receipts(tx, receipts, node.config.settle.quiet_for)  # type: ignore[arg-type]

    receiver = Receiver(node.files, record=record, now=node.now, is_leaving=leaving(node))
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
        for states in (machine.STUDIES, machine.JOBS, machine.DELIVERIES, machine.COMMITMENTS):
            machine.forget_rings(tx, states)
    run_waiting(node)


def uid_of(path: Path) -> str:
    """The SOP Instance UID of a file."""
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


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


@contextmanager
def logged(event: str) -> Iterator[list[dict[str, Any]]]:
    """What is logged of one event, as its values."""
    said: list[dict[str, Any]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            values = json.loads(record.getMessage())
            if values.pop("event") == event:
                said.append(values)

    handler, logger = Kept(), logging.getLogger("pulmonode")
    before = logger.level, logger.disabled  # whatever an earlier test of this process left there
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.disabled = False
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.disabled = before[1]
