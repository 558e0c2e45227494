"""Whose lease is whose: the token of a process that is killed is dead at once, and a living one keeps its lease."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from pacs_node.archive.queries import jobs, machine
from pacs_node.archive.queries.machine import JOBS
from pacs_node.archive.session import Database
from pacs_node.config import Config, Work
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.job import JobEvent
from pacs_node.node import Node
from pacs_node.steps.lease import is_dead, kept, new_holder
from tests.support.archive import a_new_job, a_receipt, migrated, record
from tests.support.nodes import eventually

SAYS_ITS_TOKEN = "from pacs_node.steps.lease import new_holder; print(new_holder(), flush=True); input()"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with migrated(f"sqlite:///{tmp_path}/d.sqlite") as database:
        yield database


def _node(database: Database, lease_s: float) -> Node:
    unused = cast(Any, None)
    return Node(
        config=Config(work=Work(lease_s=lease_s)),
        database=database,
        files=unused,
        models=unused,
        predictor=unused,
        send=unused,
        now=lambda: datetime.now(UTC),
        chance=unused,
    )


def _until(database: Database) -> datetime:
    with database.transaction() as tx:
        ((_, _, _, until),) = machine.leases(tx, JOBS)
    return until


def test_the_token_of_a_process_dies_with_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SAYS_ITS_TOKEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        holder = process.stdout.readline().strip()
        assert not is_dead(holder)
        process.send_signal(signal.SIGKILL)
        # A zombie, which nobody has waited for yet, works no more.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(holder)
        process.wait()
        assert is_dead(holder)


def test_the_tokens_of_one_process_differ_and_live_as_long_as_it() -> None:
    first, second = new_holder(), new_holder()
    assert first != second
    assert not is_dead(first)


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it() -> None:
    where, process, chance = new_holder().rsplit("/", 2)
    pid, started = process.split(".")
    assert is_dead(f"{where}/{pid}.{int(started) - 1}/{chance}")


@pytest.mark.parametrize("holder", ["", "x", "elsewhere/1.1/ff", "a/b/c/d", "other-machine/999999999.5/ff"])
def test_a_token_of_another_machine_is_never_called_dead(holder: str) -> None:
    assert not is_dead(holder)


def test_a_lease_is_renewed_while_its_holder_works_and_not_after(database: Database) -> None:
    record(database, a_receipt(1))
    holder, now = new_holder(), datetime.now(UTC)
    with database.transaction() as tx:
        job_id = jobs.create(tx, a_new_job(StudyId(1)), now)
        assert job_id is not None
        assert jobs.claim(tx, job_id, JobEvent.START, now, holder, now + timedelta(seconds=1))
    with kept(_node(database, lease_s=0.15), JOBS, job_id, holder):
        first = eventually(lambda: _until(database) if _until(database) != now + timedelta(seconds=1) else None)
        eventually(lambda: _until(database) > first)
    assert "lease" not in {thread.name for thread in threading.enumerate()}
