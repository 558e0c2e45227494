"""Storage commitment as SCP: senders are told what the node keeps, and never more than that."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import warnings
from collections import Counter
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import text

from pacs_node.archive import part10
from pacs_node.archive.files import InstanceFiles
from pacs_node.archive.queries import commitments, machine
from pacs_node.archive.records import Commitment
from pacs_node.config import Caller, Scp
from pacs_node.dimse import asking, command, commitment
from pacs_node.dimse.commitment import PUSH_MODEL, action_request
from pacs_node.dimse.requestor import Requestor
from pacs_node.domain.commitment import Asker as Sender
from pacs_node.domain.commitment import CommitmentReport, CommitmentRequest, CommitmentState, Reference
from pacs_node.domain.identifiers import CommitmentId
from pacs_node.domain.step import Step
from pacs_node.errors import PeerTimeout, PeerUnreachable, TransactionDuplicate
from pacs_node.node import Node
from pacs_node.processes.work import shifts
from pacs_node.steps.commit import OWN_TURN, CommitmentDesk, report_commitment
from pacs_node.steps.lanes import lanes
from pacs_node.steps.receive import Receiver
from pacs_node.steps.sweep import sweep
from tests.support.commitment import (
    ABSENT,
    TRANSACTION,
    Asker,
    action_information,
    listening,
    references_to,
    serving,
)
from tests.support.nodes import eventually
from tests.support.steps import Clock, receive, store, uid_of

CT1 = Sender(calling_ae_title="CT1", address="127.0.0.1")
MR = "1.2.840.10008.5.1.4.1.1.4"


def _row(node: Node) -> Commitment:
    with node.database.transaction() as tx:
        return commitments.get(tx, CommitmentId(1))


def _file(node: Node, path: Path) -> Path:
    receipt = node.files.find_receipt(uid_of(path))
    assert receipt is not None
    return node.files.path(receipt.file_key)


def _requested(node: Node, references: tuple[Reference, ...], uid: str = TRANSACTION) -> CommitmentId:
    """A request whose sender has hung up, and whose SCP has died."""
    request = CommitmentRequest(transaction_uid=uid, references=references)
    with node.database.transaction() as tx:
        return commitments.request(tx, request, CT1, node.now(), node.now() + OWN_TURN)


def _reachable(node: Node, port: int = 104) -> Node:
    caller = Caller(ae_title="CT1", host="127.0.0.1", port=port)
    return dataclasses.replace(node, config=dataclasses.replace(node.config, scp=Scp(callers=(caller,))))


def test_a_sender_is_told_on_its_association_that_everything_is_kept(any_node: Node, chest: list[Path]) -> None:
    receive(any_node, chest)
    asker = Asker()
    with serving(any_node) as peer:
        assert asker.asked(peer, action_information(references_to(chest))) == 0x0000
    assert asker.last == (1, {uid_of(path) for path in chest}, {})
    assert asker.reports[-1][1].TransactionUID == TRANSACTION
    row = _row(any_node)
    assert (row.state, row.failed_count) == (CommitmentState.REPORTED, 0)


def test_only_what_lies_intact_on_the_disk_is_kept(node: Node, chest: list[Path]) -> None:
    receive(node, chest[:5])
    gone, altered, cut, other, whole = chest[:5]
    _file(node, gone).unlink()
    content = bytearray(_file(node, altered).read_bytes())
    content[-1] ^= 1
    _file(node, altered).write_bytes(content)
    _file(node, cut).write_bytes(_file(node, cut).read_bytes()[:-2])
    references = [
        *references_to([gone, altered, cut, whole]),
        Reference(sop_class_uid=MR, sop_instance_uid=uid_of(other)),
        ABSENT,
    ]
    asker = Asker()
    with serving(node) as peer:
        assert asker.asked(peer, action_information(references)) == 0x0000
    failed = {
        uid_of(gone): 0x0112,
        uid_of(altered): 0x0110,
        uid_of(cut): 0x0110,
        uid_of(other): 0x0119,
        ABSENT.sop_instance_uid: 0x0112,
    }
    assert asker.last == (2, {uid_of(whole)}, failed)
    with node.database.transaction() as tx:
        assert commitments.promised(tx) == {uid_of(whole)}


def test_what_is_on_the_disk_but_not_yet_in_the_index_is_indexed_first(node: Node, chest: list[Path]) -> None:
    receiver = Receiver(node.files, record=lambda receipts: None, now=node.now)
    store(receiver, chest[:2])
    receiver.close()
    asker = Asker()
    with serving(node) as peer:
        asker.asked(peer, action_information(references_to(chest[:2])))
    assert asker.last == (1, {uid_of(path) for path in chest[:2]}, {})
    with node.database.transaction() as tx:
        assert commitments.held(tx, [uid_of(chest[0])]).keys() == {uid_of(chest[0])}


def test_a_request_for_thousands_of_instances_gets_through(node: Node) -> None:
    references = [dataclasses.replace(ABSENT, sop_instance_uid=f"1.2.826.0.1.77.404.{10**43 + n}") for n in range(4000)]
    asker = Asker()
    with serving(node) as peer:
        assert asker.asked(peer, action_information(references)) == 0x0000
    kind, committed, failed = asker.last
    assert (kind, committed, len(failed)) == (2, set(), 4000)


def test_the_same_request_again_is_reported_again(node: Node, chest: list[Path]) -> None:
    receive(node, chest[:2])
    asker = Asker()
    with serving(node) as peer:
        for _ in range(2):
            assert asker.asked(peer, action_information(references_to(chest[:2]))) == 0x0000
    assert len(asker.reports) == 2


def test_a_transaction_uid_is_for_one_request_of_a_sender(any_node: Node, chest: list[Path]) -> None:
    receive(any_node, chest[:2])
    first, second = references_to(chest[:2])
    with serving(any_node) as peer:
        assert Asker().asked(peer, action_information([first])) == 0x0000
        assert Asker().asked(peer, action_information([first, second])) == 0x0131
    with any_node.database.transaction() as tx, pytest.raises(TransactionDuplicate):
        request = CommitmentRequest(transaction_uid=TRANSACTION, references=(second,))
        commitments.request(tx, request, CT1, any_node.now(), any_node.now())
    with any_node.database.transaction() as tx:
        request = CommitmentRequest(transaction_uid=TRANSACTION, references=(second,))
        other = Sender(calling_ae_title="CT2", address="127.0.0.1")
        assert commitments.request(tx, request, other, any_node.now(), any_node.now()) != CommitmentId(1)


def _without(keyword: str) -> Dataset:
    dataset = action_information([ABSENT])
    delattr(dataset, keyword)
    return dataset


with warnings.catch_warnings(action="ignore"):
    NO_UID = action_information([ABSENT], transaction_uid="1.2.x")


@pytest.mark.parametrize(
    ("information", "changes", "status"),
    [
        (_without("TransactionUID"), {}, 0x0115),
        (_without("ReferencedSOPSequence"), {}, 0x0115),
        (action_information([]), {}, 0x0115),
        (action_information([dataclasses.replace(ABSENT, sop_class_uid="")]), {}, 0x0115),
        (NO_UID, {}, 0x0115),
        (action_information([ABSENT]), {"instance_uid": "1.2.3"}, 0x0112),
        (action_information([ABSENT]), {"action_type": 2}, 0x0123),
    ],
    ids=["no transaction", "no sequence", "empty", "no class", "no UID", "other instance", "other action"],
)
def test_a_malformed_request_is_refused_with_its_status(
    node: Node, information: Dataset, changes: dict[str, object], status: int
) -> None:
    with serving(node) as peer:
        assert Asker().asked(peer, information, **changes) == status


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 64, b"\x08\x00\x99\x11\xff\xff\xff\xff" * 3000],
    ids=["nothing", "noise", "endless nesting"],
)
def test_bytes_that_are_no_dataset_are_refused_and_the_association_lives_on(node: Node, content: bytes) -> None:
    with serving(node) as peer, Requestor(peer, "CT1", [(PUSH_MODEL, ["1.2.840.10008.1.2"])], 10) as association:
        for number in (1, 2):
            response = association.exchange(1, action_request(number), content)
            assert command.number(response, command.STATUS) == 0x0115


def test_thousands_of_empty_items_are_refused_before_they_become_objects(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"\x08\x00\x99\x11\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * 1000
    monkeypatch.setattr(commitment, "decoded", lambda *_: pytest.fail("it was decoded"))
    with serving(node) as peer, Requestor(peer, "CT1", [(PUSH_MODEL, ["1.2.840.10008.1.2"])], 10) as association:
        response = association.exchange(1, action_request(1), content)
    assert command.number(response, command.STATUS) == 0x0115


def test_what_an_older_node_stored_is_checked_by_the_hash_of_that_time(node: Node, chest: list[Path]) -> None:
    receive(node, chest[:2])
    content = _file(node, chest[0]).read_bytes()
    dataset = content[part10.head_length(content) :]
    older = {"hash": f"sha256:{hashlib.sha256(dataset).hexdigest()}"}
    with node.database.transaction() as tx:  # the second has that of the first, and so is not intact
        tx.execute(text("UPDATE instance SET content_hash = :hash"), older)
    asker = Asker()
    with serving(node) as peer:
        asker.asked(peer, action_information(references_to(chest[:2])))
    assert asker.last == (2, {uid_of(chest[0])}, {uid_of(chest[1]): 0x0110})


def test_an_instance_that_is_deleted_while_the_files_are_read_is_not_promised(
    node: Node, chest: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(node, chest[:2])
    read = InstanceFiles.is_intact

    def read_and_deleted(files: InstanceFiles, key: str, content_hash: str) -> bool:
        with node.database.transaction() as tx:
            tx.execute(text("DELETE FROM instance WHERE sop_instance_uid = :uid"), {"uid": uid_of(chest[0])})
        return read(files, key, content_hash)

    monkeypatch.setattr(InstanceFiles, "is_intact", read_and_deleted)
    asker = Asker()
    with serving(node) as peer:
        asker.asked(peer, action_information(references_to(chest[:2])))
    assert asker.last == (2, {uid_of(chest[1])}, {uid_of(chest[0]): 0x0112})


def test_a_report_about_an_unknown_transaction_is_refused(node: Node) -> None:
    report = CommitmentReport(transaction_uid="1.2.3", committed=(ABSENT,), failed=())
    with serving(node) as peer, pytest.raises(Exception, match="0x0115"):
        asking.report(peer, report, calling_ae_title="PACS")


def test_a_sender_that_hung_up_is_told_on_an_association_of_the_node(node: Node, chest: list[Path]) -> None:
    receive(node, chest[:2])
    asker = Asker()
    with listening(asker) as port:
        reachable = _reachable(node, port)
        assert report_commitment(reachable, _requested(reachable, references_to(chest[:2])))
    assert asker.last == (1, {uid_of(path) for path in chest[:2]}, {})
    assert _row(node).state is CommitmentState.REPORTED


def test_the_association_of_the_sender_goes_first_and_an_own_one_follows_at_once(node: Node) -> None:
    told: list[str] = []
    reachable = dataclasses.replace(_reachable(node), report=lambda caller, report: told.append("own"))

    def hung_up(report: CommitmentReport) -> None:
        told.append("theirs")
        raise PeerUnreachable

    desk = CommitmentDesk(reachable)
    desk.accept(CommitmentRequest(transaction_uid=TRANSACTION, references=(ABSENT,)), CT1, hung_up)
    desk.close()
    row = _row(reachable)
    assert (row.state, row.next_at) == (CommitmentState.PENDING, reachable.now())
    assert [(call.step, call.row_id) for call in sweep(reachable)] == [(Step.REPORT, 1)]
    assert report_commitment(reachable, row.id)
    assert told == ["theirs", "own"]


def test_senders_that_take_no_report_keep_neither_others_nor_the_end_waiting(node: Node) -> None:
    desk, is_over, is_told = CommitmentDesk(node), threading.Event(), threading.Event()
    for number in range(5):
        request = CommitmentRequest(transaction_uid=f"2.25.{number}", references=(ABSENT,))
        silent = dataclasses.replace(CT1, calling_ae_title=f"SILENT{number}")
        desk.accept(request, silent, lambda report: is_over.wait(60))  # type: ignore[arg-type, return-value]
    desk.accept(CommitmentRequest(transaction_uid="2.25.9", references=(ABSENT,)), CT1, lambda report: is_told.set())
    assert is_told.wait(20)
    desk.close(timeout_s=0.01)
    assert not is_over.is_set()
    is_over.set()
    desk.close(timeout_s=20)


def test_the_reports_of_one_sender_come_one_after_the_other(node: Node) -> None:
    desk, told = CommitmentDesk(node), list[str]()
    is_begun = threading.Event()

    def reply(report: CommitmentReport) -> None:
        is_begun.wait(20)
        told.append(report.transaction_uid)

    asked = [f"2.25.{number}" for number in range(3)]
    for uid in asked:
        desk.accept(CommitmentRequest(transaction_uid=uid, references=(ABSENT,)), CT1, reply)
    is_begun.set()
    eventually(lambda: len(told) == len(asked))
    desk.close(timeout_s=20)
    assert told == asked


def test_a_sender_that_asked_for_hundreds_of_reports_has_a_worker_of_its_own(node: Node, clock: Clock) -> None:
    """And so has every other peer: whatever waits for the one, waits in nobody else's queue."""
    reachable = _reachable(node)
    for number in range(200):
        _requested(reachable, (ABSENT,), f"2.25.{number}")
    others = dataclasses.replace(CT1, calling_ae_title="CT2")
    with node.database.transaction() as tx:
        asked = CommitmentRequest(transaction_uid=TRANSACTION, references=(ABSENT,))
        commitments.request(tx, asked, others, node.now(), node.now() + OWN_TURN)
    clock.forward(OWN_TURN.total_seconds())
    queues = Counter(call.lane for call in sweep(reachable))
    (lane,) = lanes(reachable.config)
    assert queues == {lane: 200, "": 1}
    assert shifts(reachable.config, ["deliver"]) == [("deliver",), (lane,)]


def test_whoever_dies_before_the_sender_is_told_another_worker_tells_it(node: Node, clock: Clock) -> None:
    told: list[CommitmentReport] = []
    reachable = dataclasses.replace(_reachable(node), report=lambda caller, report: told.append(report))
    commitment_id = _requested(reachable, (ABSENT,))
    assert sweep(reachable) == ()
    clock.forward(OWN_TURN.total_seconds())
    assert [(call.step, call.row_id) for call in sweep(reachable)] == [(Step.REPORT, commitment_id)]
    assert report_commitment(reachable, commitment_id)
    assert not report_commitment(reachable, commitment_id)
    assert [report.failed[0].reason for report in told] == [0x0112]


def test_a_sender_that_does_not_listen_is_tried_again_ever_less_often(node: Node, clock: Clock) -> None:
    def silent(caller: Caller, report: CommitmentReport) -> None:
        raise PeerTimeout

    reachable = dataclasses.replace(_reachable(node), report=silent)
    commitment_id = _requested(reachable, (ABSENT,))
    waits = []
    for _ in range(4):
        report_commitment(reachable, commitment_id)
        next_at = _row(reachable).next_at
        assert next_at is not None
        waits.append((next_at - clock.time).total_seconds())
        clock.time = next_at
    # 5 s, three times as long each time, three quarters of it at chance 0.5; the first failure costs nothing
    assert waits == [0, 11.25, 33.75, 101.25]


def test_a_sender_without_an_address_is_given_up_with_the_reason(node: Node) -> None:
    commitment_id = _requested(node, (ABSENT,))
    report_commitment(node, commitment_id)
    assert _row(node).state is CommitmentState.FAILED
    with node.database.transaction() as tx:
        assert machine.history(tx, machine.COMMITMENTS, commitment_id)[-1].code == "commitment.no-address"


@pytest.mark.parametrize("refuses", [True, False], ids=["refuses", "takes"])
def test_a_report_counts_only_when_the_sender_has_taken_it(node: Node, refuses: bool) -> None:
    asker = Asker(status_of_reports=0x0110 if refuses else 0x0000)
    with listening(asker) as port:
        reachable = _reachable(node, port)
        report_commitment(reachable, _requested(reachable, (ABSENT,)))
    assert len(asker.reports) == 1
    assert _row(node).state is (CommitmentState.PENDING if refuses else CommitmentState.REPORTED)
