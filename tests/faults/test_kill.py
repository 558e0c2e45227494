"""kill -9 of any process at any moment, and a restart, end in exactly one result per study (promise 8)."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from pacs_node.config import Destination
from pacs_node.dimse import command
from pacs_node.dimse.commitment import PUSH_MODEL, action_request
from pacs_node.dimse.pacs import Folder, FolderDraft
from pacs_node.dimse.requestor import Requestor
from pacs_node.dimse.scp import ScpSettings, serve
from pacs_node.domain.instance import StoreOutcome, StoreRequest
from pacs_node.errors import NodeError
from tests.support.commitment import Asker, action_information, listening, references_to
from tests.support.ct_instances import uid
from tests.support.instances import encoded
from tests.support.nodes import RunningNode, SmallPacs, eventually, kill, running_node, small_pacs
from tests.support.series import Ball, a_chest_series

MOMENTS = {
    "plan": "SELECT 1 FROM study WHERE state = 'planning'",
    "analyse": "SELECT 1 FROM job WHERE state = 'running'",
    "compose": "SELECT 1 FROM job WHERE state = 'composing'",
    "deliver": "SELECT 1 FROM delivery WHERE state = 'sending'",
}
"""What the database says while a step of the only unfinished study runs."""

SYNTAX = "1.2.840.10008.1.2"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """A node that runs all the time, and its PACS; every test sends it a study of its own."""

    node: RunningNode
    pacs: SmallPacs
    folder: Path

    def chest(self, study: str) -> list[Path]:
        """A CT with a nodule in the left lung."""
        return a_chest(self.folder / study, study)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    folder = tmp_path_factory.mktemp("ward")
    with (
        small_pacs(folder / "pacs") as pacs,
        running_node(folder / "node", destinations=[pacs.destination]) as node,
    ):
        eventually(lambda: len(node.processes("work")) > node.config.work.processes)
        yield Ward(node=node, pacs=pacs, folder=folder)


@pytest.mark.parametrize("step", MOMENTS)
def test_all_workers_killed_in_a_step_lead_to_exactly_one_result(step: str, ward: Ward) -> None:
    for study in (f"{step}{attempt}" for attempt in range(5)):
        held = set(ward.pacs.held())
        ward.node.send(ward.chest(study))
        is_struck = struck(ward.node, MOMENTS[step], ward.node.processes("work"))
        job = the_one_job(ward.node, study)
        assert set(ward.pacs.held()) - held == results(job)
        if is_struck:
            return
    pytest.fail("the step was over before every kill; nothing was tested")


def test_a_worker_killed_alone_leads_to_exactly_one_result(ward: Ward) -> None:
    before, held = ward.node.processes("work"), set(ward.pacs.held())
    ward.node.send(ward.chest("alone"))
    holder = eventually(lambda: value(ward.node, "SELECT lease_holder FROM job WHERE state = 'running'"), every_s=0.001)
    (victim,) = (process for process in before if process.pid == int(holder.split("/")[1].partition(".")[0]))
    kill([victim])
    job = the_one_job(ward.node, "alone")
    assert set(ward.pacs.held()) - held == results(job)
    assert sum(process.is_running() for process in before) == len(before) - 1


def test_workers_killed_while_they_wait_are_replaced_by_others_that_work(ward: Ward) -> None:
    head, *workers = ward.node.processes("work")
    kill(workers)
    ward.node.send(ward.chest("waiting"))
    the_one_job(ward.node, "waiting")
    assert head.is_running()


def test_the_receiving_process_killed_in_a_study_leads_to_one_result_when_it_is_sent_again(ward: Ward) -> None:
    files, before = ward.chest("receive"), counted(ward.node, "instance")
    half = len(files) // 2
    entity = AE(ae_title="CT1")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate(ward.node.peer.host, ward.node.peer.port, ae_title=ward.node.peer.ae_title)
    answers = [association.send_c_store(file) for file in files[:half]]
    kill(ward.node.processes("serve"))
    association.abort()
    assert [answer.Status for answer in answers] == [0x0000] * half
    assert counted(ward.node, "instance") <= before + half
    held = set(ward.pacs.held())
    eventually(lambda: is_sent(ward.node, files))
    job = the_one_job(ward.node, "receive")
    assert set(ward.pacs.held()) - held == results(job)
    assert counted(ward.node, "instance") == before + len(files)


def test_results_that_come_back_are_recognised_and_not_analysed(ward: Ward) -> None:
    ward.node.send(ward.chest("back"))
    own = results(the_one_job(ward.node, "back"))
    before = counted(ward.node, "instance")
    ward.node.send([ward.pacs.folder / f"{name}.dcm" for name in own], calling_ae_title="PACS")
    eventually(lambda: counted(ward.node, "instance") == before + len(own))
    the_one_job(ward.node, "back")


def test_late_slices_lead_to_one_result_that_supersedes_the_first(ward: Ward) -> None:
    chest = ward.chest("late")
    ward.node.send(chest[:-5])
    the_one_job(ward.node, "late")
    ward.node.send(chest[-5:])
    eventually(lambda: len(jobs(ward.node, "late")) == 2, every_s=1)
    await_rest(ward.node)
    first, second = jobs(ward.node, "late")
    assert second["supersedes_job_id"] == first["id"]
    assert results(first).isdisjoint(results(second))
    assert results(first) | results(second) <= set(ward.pacs.held())


def test_a_worker_killed_before_it_noted_that_the_pacs_has_stored_sends_the_same_once_more(tmp_path: Path) -> None:
    pacs = WatchedPacs(tmp_path / "pacs")
    server = serve(ScpSettings(ae_title="TESTPACS", host="127.0.0.1", port=0), pacs, lambda name, values: None)
    destination = Destination(name="pacs", ae_title="TESTPACS", host="127.0.0.1", port=server.port)
    try:
        with running_node(tmp_path / "node", destinations=[destination]) as node:
            pacs.at_the_second = lambda: kill(node.processes("work"))
            node.send(a_chest(tmp_path / "ct", "noted"))
            job = the_one_job(node, "noted")
    finally:
        server.stop()
    names = [name for name, _ in pacs.taken]
    assert set(names) == results(job)
    assert len(names) == 4, "no worker was killed, or it did not send again"
    assert len(set(pacs.taken)) == 2, "an instance came again with other bytes"


def test_a_node_killed_before_a_study_settles_settles_it_after_the_restart(tmp_path: Path) -> None:
    chest = a_chest(tmp_path / "ct", "settle")
    with small_pacs(tmp_path / "pacs") as pacs:
        settings = "[settle]\nquiet_s = 4.0"
        with running_node(tmp_path / "node", settings=settings, destinations=[pacs.destination]) as node:
            node.send(chest)
            kill([*node.processes("serve"), *node.processes("work")])
            node.process.kill()
        with running_node(tmp_path / "node") as node:
            job = the_one_job(node, "settle")
            assert counted(node, "instance") == len(chest)
        assert set(pacs.held()) == results(job)


def test_a_node_of_which_the_head_alone_is_killed_in_an_analysis_ends_it_once_after_the_restart(tmp_path: Path) -> None:
    with small_pacs(tmp_path / "pacs") as pacs:
        with running_node(tmp_path / "node", destinations=[pacs.destination]) as node:
            node.send(a_chest(tmp_path / "ct", "head"))
            assert struck(node, MOMENTS["analyse"], [psutil.Process(node.process.pid)])
        with running_node(tmp_path / "node") as node:
            job = the_one_job(node, "head")
        assert set(pacs.held()) == results(job)


def test_a_commitment_is_reported_until_the_sender_has_taken_it_whoever_is_killed_meanwhile(tmp_path: Path) -> None:
    chest = a_chest(tmp_path / "ct", "committed")[:3]
    asker = KillingAsker()
    with listening(asker) as port:
        callers = '[[scp.callers]]\nae_title = "TEST"\n\n[[scp.callers]]\nae_title = "CT1"\nhost = "127.0.0.1"'
        with running_node(tmp_path / "node", settings=f"{callers}\nport = {port}") as node:
            node.send(chest)
            eventually(lambda: len(node.processes("work")) > node.config.work.processes)
            asker.at_the_first = lambda: kill(node.processes("work"))
            content = encoded(action_information(references_to(chest)), SYNTAX)
            with Requestor(node.peer, "CT1", [(PUSH_MODEL, [SYNTAX])], 10) as association:
                answer = association.exchange(1, action_request(1), content)
                kill(node.processes("serve"))
            assert command.number(answer, command.STATUS) == 0x0000
            eventually(lambda: value(node, "SELECT 1 FROM commitment WHERE state = 'reported'"), timeout_s=90)
    assert len(asker.reports) == 2, "the worker that reported was not killed"
    uids = {reference.sop_instance_uid for reference in references_to(chest)}
    assert all(asker.content(report) == (1, uids, {}) for report in asker.reports)


class KillingAsker(Asker):
    """A sender that does something when the first report has come, before it answers."""

    at_the_first: Callable[[], None]

    def take(self, event: Any) -> tuple[int, None]:
        """The handler of N-EVENT-REPORT."""
        if not self.reports:
            self.at_the_first()
        return super().take(event)


class WatchedPacs:
    """A PACS that remembers what it stored, with a hash, and does something when it has stored the second instance."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path)
        self.taken: list[tuple[str, str]] = []
        self.at_the_second: Callable[[], None] = lambda: None

    def open(self, request: StoreRequest) -> WatchedDraft:
        """Begin one dataset."""
        return WatchedDraft(self, self._folder.open(request), request.sop_instance_uid)


class WatchedDraft:
    """One dataset of `WatchedPacs`."""

    def __init__(self, pacs: WatchedPacs, draft: FolderDraft, name: str) -> None:
        self._pacs, self._draft, self._name = pacs, draft, name
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append to the dataset."""
        self._digest.update(chunk)
        self._draft.write(chunk)

    def commit(self) -> StoreOutcome:
        """Store, and be killed before the answer where that is wanted."""
        outcome = self._draft.commit()
        self._pacs.taken.append((self._name, self._digest.hexdigest()))
        if len(self._pacs.taken) == 2:
            self._pacs.at_the_second()
        return outcome

    def discard(self) -> None:
        """As the folder does."""
        self._draft.discard()


def a_chest(folder: Path, study: str) -> list[Path]:
    return a_chest_series(folder, study=study, series=study, balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=14)])


def struck(node: RunningNode, moment: str, victims: list[psutil.Process]) -> bool:
    """Kill these at this moment; whether it was still that moment afterwards."""
    eventually(lambda: value(node, moment), every_s=0.001)
    kill(victims)
    return value(node, moment) is not None


def the_one_job(node: RunningNode, study: str) -> Any:
    """The only job of a study when all is quiet: it is done, with one finding, and delivered."""
    eventually(lambda: value(node, f"SELECT 1 FROM study WHERE study_instance_uid = '{uid(study)}'"))
    await_rest(node)
    (job,) = jobs(node, study)
    assert job["state"] == "done"
    assert len(job["findings"]) == 1
    return job


def await_rest(node: RunningNode) -> None:
    """Wait until nothing is received, planned, analysed or sent any more."""
    unfinished = (
        "SELECT (SELECT count(*) FROM study WHERE state != 'planned')"
        " + (SELECT count(*) FROM job WHERE state != 'done')"
        " + (SELECT count(*) FROM delivery WHERE state != 'delivered')"
    )
    eventually(lambda: value(node, unfinished) == 0, timeout_s=90)


def is_sent(node: RunningNode, files: list[Path]) -> bool:
    try:
        node.send(files)
    except NodeError:
        return False
    return True


def jobs(node: RunningNode, study: str) -> Any:
    return node.asked("study", "show", uid(study))["jobs"]


def results(job: Any) -> set[str]:
    return {item["sop_instance_uid"] for item in job["results"]}


def counted(node: RunningNode, table: str) -> int:
    return int(value(node, f"SELECT count(*) FROM {table}") or 0)


def value(node: RunningNode, query: str) -> Any:
    """The first value of the first row, or None."""
    connection = sqlite3.connect(f"file:{node.config.data / 'pulmonode.sqlite'}?mode=ro", uri=True)
    try:
        row = connection.execute(query).fetchone()
    finally:
        connection.close()
    return None if row is None else row[0]
