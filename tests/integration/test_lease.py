"""Whose lease is whose: the token of a process that is killed is dead at once, and a living one keeps its lease."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pacs_node.archive.queries import jobs, machine
from pacs_node.archive.queries.machine import JOBS, Move
from pacs_node.archive.session import Database
from pacs_node.config import Config, Limits, Work
from pacs_node.domain.identifiers import JobId, StudyId
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.step import Step
from pacs_node.errors import StepTimeout
from pacs_node.node import Node
from pacs_node.steps.lease import Fate, fate_of, kept, new_holder
from tests.support.archive import a_new_job, a_receipt, migrated, record
from tests.support.nodes import eventually
from tests.support.steps import a_dead_holder

SAYS_ITS_TOKEN = "from pacs_node.steps.lease import new_holder; print(new_holder(), flush=True); input()"
HAS_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SAYS_ITS_TOKEN!r}])"
LONG_S = 30
"""Nothing here takes so long; a test that has to wait for it has failed."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with migrated(f"sqlite:///{tmp_path}/d.sqlite") as database:
        yield database


def _node(database: Database, lease_s: float, analyse_s: float = LONG_S, abandon: Callable[[], None] = list) -> Node:
    used: dict[str, Any] = {
        "config": Config(work=Work(lease_s=lease_s), limits=Limits(analyse_s=analyse_s)),
        "database": database,
        "now": lambda: datetime.now(UTC),
        "abandon": abandon,
    }
    return Node(**dict.fromkeys(field.name for field in dataclasses.fields(Node)) | used)


def _claimed(database: Database, holder: str) -> JobId:
    record(database, a_receipt(1))
    now = datetime.now(UTC)
    with database.transaction() as tx:
        job_id = jobs.create(tx, a_new_job(StudyId(1)), now)
        assert job_id is not None
        assert jobs.claim(tx, job_id, JobEvent.START, now, holder, now + timedelta(seconds=1))
    return job_id


def _until(database: Database) -> datetime:
    with database.transaction() as tx:
        ((_, _, _, until),) = machine.leases(tx, JOBS)
    return until


def _never(error: StepTimeout) -> None:
    pytest.fail("its time is not up")


def test_the_token_of_a_process_dies_with_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SAYS_ITS_TOKEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        holder = process.stdout.readline().strip()
        assert fate_of(holder) is Fate.UNKNOWN
        process.send_signal(signal.SIGKILL)
        # A zombie, which nobody has waited for yet, works no more.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert fate_of(holder) is Fate.ENDED
        process.wait()
        assert fate_of(holder) is Fate.ENDED


def test_a_process_that_is_gone_with_the_one_that_started_it_was_stopped() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HAS_A_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        holder = parent.stdout.readline().strip()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert fate_of(holder) is Fate.UNKNOWN  # it goes on, and may still end what it does
        parent.stdin.close()
        eventually(lambda: fate_of(holder) is Fate.STOPPED)


def test_the_tokens_of_one_process_differ_and_live_as_long_as_it() -> None:
    first, second = new_holder(), new_holder()
    assert first != second
    assert fate_of(first) is Fate.UNKNOWN


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it() -> None:
    assert fate_of(a_dead_holder()) is Fate.ENDED
    assert fate_of(a_dead_holder(with_parent=True)) is Fate.STOPPED


@pytest.mark.parametrize("holder", ["", "x", "elsewhere/1.1/ff", "a/b/c/d", "other-machine/999999999.5/1.1/ff"])
def test_nothing_is_known_of_a_token_of_another_machine(holder: str) -> None:
    assert fate_of(holder) is Fate.UNKNOWN


def test_a_lease_is_renewed_while_its_holder_works_and_not_after(database: Database) -> None:
    holder = new_holder()
    job_id = _claimed(database, holder)
    claimed_until = _until(database)
    with kept(_node(database, lease_s=0.15), Step.ANALYSE, JOBS, job_id, holder, _never):
        first = eventually(lambda: _until(database) if _until(database) != claimed_until else None)
        eventually(lambda: _until(database) > first)
    assert "lease" not in {thread.name for thread in threading.enumerate()}


def test_a_worker_whose_lease_was_taken_away_abandons_its_work(database: Database) -> None:
    holder, abandoned = new_holder(), threading.Event()
    job_id = _claimed(database, holder)
    node = _node(database, lease_s=0.15, abandon=abandoned.set)
    with kept(node, Step.ANALYSE, JOBS, job_id, holder, _never):
        with database.transaction() as tx:
            at = datetime.now(UTC)
            expired = Move(row_id=job_id, state=JobState.RUNNING, event=JobEvent.EXPIRE, at=at, holder=holder)
            assert machine.expire(tx, JOBS, expired, is_strike=False)
            assert jobs.claim(tx, job_id, JobEvent.START, at, "another", at + timedelta(seconds=LONG_S))
        assert abandoned.wait(LONG_S)
    with database.transaction() as tx:
        ((_, _, now_held_by, _),) = machine.leases(tx, JOBS)
    assert now_held_by == "another"


def test_a_worker_whose_time_is_up_says_so_and_then_abandons_its_work(database: Database) -> None:
    said: list[str] = []
    abandoned = threading.Event()

    def abandon() -> None:
        said.append("abandoned")
        abandoned.set()

    holder = new_holder()
    job_id = _claimed(database, holder)
    node = _node(database, lease_s=LONG_S, analyse_s=0.05, abandon=abandon)
    with kept(node, Step.ANALYSE, JOBS, job_id, holder, lambda error: said.append(str(error))):
        assert abandoned.wait(LONG_S)
    assert said == ["the step analyse ran out of time: it took longer than 0.05 s", "abandoned"]
