"""A study is compared with what the PACS holds before it is planned; what is missing is fetched, once and in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pydicom
import pytest

from pacs_node.archive.queries import completeness, machine, studies
from pacs_node.archive.records import Study
from pacs_node.audit.message import Kind, from_json
from pacs_node.audit.spool import Position, Spool
from pacs_node.config import Query
from pacs_node.domain.completeness import MOST_CHECKS, SeriesCount
from pacs_node.domain.identifiers import SeriesUid, StudyId, StudyUid
from pacs_node.domain.instance import Inbox, Receipt
from pacs_node.domain.step import Step
from pacs_node.domain.study import StudyState
from pacs_node.errors import PeerTimeout
from pacs_node.node import Node
from pacs_node.processes.work import catch_up
from pacs_node.steps.lanes import lanes
from pacs_node.steps.receive import Receiver
from pacs_node.steps.reindex import record_new
from tests.integration.test_steps import logged
from tests.support.steps import LATE_S, QUIET_S, Clock, all_jobs, receive, run_all, run_waiting, store

QUERY = Query(ae_title="MYPACS", host="127.0.0.1", port=1, wait_s=120)


class Pacs:
    """Holds the whole CT; answers, and sends, as the test says."""

    def __init__(self, paths: Sequence[Path], clock: Clock) -> None:
        self.paths = list(paths)
        self.clock = clock
        self.node: Node | None = None
        self.sends: list[Path] = list(paths)
        self.error: Exception | None = None
        self.counts = 0
        self.fetches: list[SeriesUid] = []

    def count(self, query: Query, study: StudyUid) -> tuple[SeriesCount, ...]:
        """C-FIND."""
        self.counts += 1
        if self.error is not None:
            self.clock.forward(query.timeout_s)
            raise self.error
        uid = SeriesUid(str(pydicom.dcmread(self.paths[0], stop_before_pixels=True).SeriesInstanceUID))
        ours = SeriesCount(series_instance_uid=SeriesUid("1.2.3.9"), modality="SEG", instance_count=1)
        return (SeriesCount(series_instance_uid=uid, modality="CT", instance_count=len(self.paths)), ours)

    def fetch(self, query: Query, study: StudyUid, series: SeriesUid, inbox: Inbox, within_s: float) -> None:
        """C-MOVE."""
        self.fetches.append(series)
        assert within_s <= query.wait_s
        assert self.node is not None
        receive(self.node, self.sends)


@pytest.fixture
def asked(node: Node, chest: list[Path], clock: Clock) -> Iterator[Callable[..., tuple[Node, Pacs]]]:
    """A node that asks a PACS about every study."""

    def ask(query: Query = QUERY) -> tuple[Node, Pacs]:
        pacs = Pacs(chest, clock)
        config = dataclasses.replace(node.config, query=(query,))
        pacs.node = dataclasses.replace(node, config=config, count=pacs.count, fetch=pacs.fetch)
        return pacs.node, pacs

    yield ask


def _study(node: Node) -> Study:
    with node.database.transaction() as tx:
        return studies.get(tx, StudyId(1))


def _codes(node: Node) -> list[str | None]:
    with node.database.transaction() as tx:
        return [event.code for event in machine.history(tx, machine.STUDIES, 1)]


def _settled(node: Node, clock: Clock) -> list[Step]:
    clock.forward(QUIET_S)
    return run_waiting(node)


def test_a_whole_study_is_asked_about_once_and_analysed(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path], clock: Clock
) -> None:
    node, pacs = asked()
    receive(node, chest)
    assert _settled(node, clock)[:3] == [Step.COMPLETE, Step.PLAN, Step.ANALYSE]
    assert (pacs.counts, pacs.fetches) == (1, [])
    with node.database.transaction() as tx:
        assert list(completeness.expected(tx, StudyId(1)).values()) == [len(chest)]


def test_what_is_missing_is_fetched_and_analysed_once(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path], clock: Clock
) -> None:
    node, pacs = asked()
    receive(node, chest[:30])
    assert _settled(node, clock) == [Step.COMPLETE]
    assert (_study(node).state, _study(node).instance_count) == (StudyState.RECEIVING, len(chest))
    assert Step.ANALYSE in _settled(node, clock)
    assert (pacs.counts, len(pacs.fetches)) == (2, 1)
    assert len(all_jobs(node)) == 1
    assert "study.incomplete" not in _codes(node)[-2:]


def test_what_never_comes_is_waited_for_no_longer_than_configured(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path], clock: Clock
) -> None:
    node, pacs = asked()
    pacs.sends = []
    receive(node, chest[:30])
    quiet_at = clock.time
    with logged("study_not_complete") as said:
        for _ in range(40):
            _settled(node, clock)
            if all_jobs(node):
                break
    assert (pacs.counts, len(pacs.fetches)) == (MOST_CHECKS, MOST_CHECKS - 1)
    assert (clock.time - quiet_at).total_seconds() <= QUERY.wait_s
    assert [values["code"] for values in said] == ["study.incomplete"]
    assert "study.incomplete" in _codes(node)


def test_a_pacs_that_does_not_answer_stops_an_analysis_no_longer_than_configured(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path], clock: Clock
) -> None:
    node, pacs = asked(dataclasses.replace(QUERY, wait_s=25))
    pacs.error = PeerTimeout()
    receive(node, chest)
    clock.forward(QUIET_S)
    first_at = clock.time
    for _ in range(40):
        run_all(node)
        if all_jobs(node):
            break
        clock.forward(1)
    assert (clock.time - first_at).total_seconds() <= 25 + QUERY.timeout_s
    assert 1 <= pacs.counts <= MOST_CHECKS
    assert "peer.timeout" in _codes(node)


def test_without_retrieval_it_is_only_said_that_something_is_missing(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path], clock: Clock
) -> None:
    node, pacs = asked(dataclasses.replace(QUERY, retrieve="none"))
    receive(node, chest[:30])
    assert _settled(node, clock)[:2] == [Step.COMPLETE, Step.PLAN]
    assert (pacs.counts, pacs.fetches) == (1, [])
    assert "study.incomplete" in _codes(node)


def test_a_sender_whose_studies_the_pacs_does_not_hold_is_not_asked_about(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path], clock: Clock
) -> None:
    node, pacs = asked(dataclasses.replace(QUERY, calling_ae_title=("ROUTER",)))
    receive(node, chest)
    assert _settled(node, clock)[0] is Step.PLAN
    assert pacs.counts == 0


def test_a_late_instance_lets_the_pacs_be_asked_anew(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path], clock: Clock
) -> None:
    node, pacs = asked(dataclasses.replace(QUERY, retrieve="none"))
    receive(node, chest[:30])
    _settled(node, clock)
    receive(node, chest)
    clock.forward(LATE_S)
    run_all(node)
    assert pacs.counts == 2
    assert _study(node).checks == 0


def test_a_worker_that_dies_while_it_asks_is_followed_by_another(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path], clock: Clock
) -> None:
    node, pacs = asked()

    def dies(query: Query, study: StudyUid) -> tuple[SeriesCount, ...]:
        raise KeyboardInterrupt

    receive(node, chest)
    clock.forward(QUIET_S)
    with pytest.raises(KeyboardInterrupt):
        run_waiting(dataclasses.replace(node, count=dies))
    assert _study(node).state is StudyState.CHECKING
    clock.forward(QUERY.timeout_s + 60)
    run_all(node)
    assert pacs.counts == 1
    assert len(all_jobs(node)) == 1


def told(node: Node) -> list[tuple[Kind, int]]:
    """What the audit trail says of transfers."""
    spool = Spool(node.config.data / "audit", keep_bytes=10_000_000)
    messages = [from_json(line) for line, _ in spool.read(Position(), 1000)]
    return [
        (message.kind, message.instances) for message in messages if message.kind in (Kind.RECEIVING, Kind.RECEIVED)
    ]


def test_what_is_fetched_is_audited_as_what_is_sent(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path], clock: Clock
) -> None:
    node, _ = asked(dataclasses.replace(QUERY, retrieve="get"))
    fetching = dataclasses.replace(node, fetch=lambda query, study, series, inbox, within_s: store(inbox, chest))
    receive(node, chest[:30])
    clock.forward(QUIET_S)
    run_waiting(fetching)
    assert told(node) == [(Kind.RECEIVING, 0), (Kind.RECEIVED, len(chest) - 30)]


def test_what_comes_again_is_neither_indexed_nor_audited_again(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path]
) -> None:
    node, _ = asked(QUERY)
    new: list[tuple[Receipt, ...]] = []
    receiver = Receiver(node.files, record=lambda receipts: new.append(record_new(node, receipts)), now=node.now)
    for files in (chest[:3], chest[:4]):
        store(receiver, files)
        assert receiver.flush()
    receiver.close()
    assert sum(map(len, new)) == _study(node).instance_count == 4


def test_what_a_worker_had_fetched_when_it_was_killed_is_indexed_and_audited_by_the_next(
    asked: Callable[..., tuple[Node, Pacs]], chest: list[Path]
) -> None:
    node, _ = asked(dataclasses.replace(QUERY, retrieve="get"))
    receiver = Receiver(node.files, record=lambda receipts: None, now=node.now)
    store(receiver, chest[:3])
    receiver.close()
    catch_up(node.config, ["deliver"])
    assert told(node) == []
    for _ in range(2):
        catch_up(node.config, lanes(node.config))
        assert _study(node).instance_count == 3
        assert told(node) == [(Kind.RECEIVING, 0), (Kind.RECEIVED, 3)]
