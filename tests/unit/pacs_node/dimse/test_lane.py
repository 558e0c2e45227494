"""The lane: every C-STORE is answered, in order, and everything else goes to the library."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import pytest

from pacs_node.dimse import command
from pacs_node.dimse.budget import Budget
from pacs_node.dimse.lane import Context, Lane, Limits, Sender
from pacs_node.dimse.pdu import COMMAND, LAST, fragments, p_data
from pacs_node.domain.instance import StoreOutcome, StoreRequest
from pacs_node.errors import InstanceConflict, NodeError, PduInvalid, StorageFull

CT, MR, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"


class FakeAssociation:
    """Remembers what was sent and passed on."""

    def __init__(self, maximum_bytes: int = 0) -> None:
        self.sender = Sender(
            calling_ae_title="CT1", called_ae_title="NODE", address="192.0.2.7", maximum_bytes=maximum_bytes
        )
        self.contexts: Mapping[int, Context] = {
            1: Context(sop_class_uid=CT, transfer_syntax_uid=EXPLICIT),
            3: Context(sop_class_uid=VERIFICATION, transfer_syntax_uid="1.2.840.10008.1.2"),
        }
        self.sent: list[bytes] = []
        self.passed_on: list[tuple[int, bytes]] = []

    def send(self, pdu: bytes) -> None:
        self.sent.append(pdu)

    def pass_on(self, context_id: int, fragment: bytes) -> None:
        self.passed_on.append((context_id, fragment))

    @property
    def responses(self) -> list[tuple[int | None, int | None]]:
        """Message ID and status of every response."""
        whole, found = b"", []
        for pdu in self.sent:
            for _, control, fragment in fragments(memoryview(pdu)):
                whole += fragment
                if control & LAST:
                    response = command.decode(whole)
                    whole = b""
                    message_id = command.number(response, command.MESSAGE_ID_BEING_RESPONDED_TO)
                    found.append((message_id, command.number(response, command.STATUS)))
        return found


class FakeInbox:
    """Keeps datasets in memory; fails where the test says."""

    def __init__(self, fails_at: str = "", error: Exception | None = None) -> None:
        self.fails_at, self.error = fails_at, error
        self.stored: list[tuple[StoreRequest, bytes]] = []
        self.open_drafts = 0

    def open(self, request: StoreRequest) -> FakeDraft:
        self.fail("open")
        self.open_drafts += 1
        return FakeDraft(self, request)

    def fail(self, where: str) -> None:
        if where == self.fails_at and self.error is not None:
            raise self.error


class FakeDraft:
    def __init__(self, inbox: FakeInbox, request: StoreRequest) -> None:
        self.inbox, self.request, self.content = inbox, request, b""

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self.inbox.fail("write")
        self.content += chunk

    def commit(self) -> StoreOutcome:
        self.inbox.fail("commit")
        self.inbox.stored.append((self.request, self.content))
        return StoreOutcome.STORED

    def discard(self) -> None:
        self.inbox.open_drafts -= 1


class Set:
    """A lane with fakes around it."""

    def __init__(
        self,
        inbox: FakeInbox | None = None,
        maximum_bytes: int = 0,
        *,
        maximum_instance_bytes: int = 1 << 30,
        budget: Budget | None = None,
    ) -> None:
        self.association = FakeAssociation(maximum_bytes)
        self.budget = budget or Budget(1 << 20)
        limits = Limits(maximum_instance_bytes=maximum_instance_bytes, memory=self.budget)
        self.inbox = inbox or FakeInbox()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.lane = Lane(self.association, self.inbox, limits, lambda name, values: self.events.append((name, values)))

    def receive(self, *messages: tuple[int, int, bytes], maximum_bytes: int = 100) -> None:
        """Context, control bits and bytes of each message, cut into PDUs."""
        for context_id, control, message in messages:
            for pdu in p_data(context_id, control, message, maximum_bytes):
                self.lane.receive(memoryview(pdu))


def a_store(message_id: int, uid: str = "1.2.3", sop_class: str = CT) -> tuple[int, int, bytes]:
    return 1, COMMAND, command.store_request(message_id, sop_class, uid)


@pytest.mark.parametrize("maximum_bytes", [20, 100, 0])
def test_instances_are_stored_and_answered_one_after_the_other(maximum_bytes: int) -> None:
    scene = Set()
    first, second = bytes(range(256)), b"second"
    scene.receive(a_store(1), (1, 0, first), a_store(2, "1.2.4"), (1, 0, second), maximum_bytes=maximum_bytes)
    assert scene.association.responses == [(1, 0), (2, 0)]
    assert [(request.sop_instance_uid, content) for request, content in scene.inbox.stored] == [
        ("1.2.3", first),
        ("1.2.4", second),
    ]
    assert (scene.lane.instances, scene.lane.bytes, scene.inbox.open_drafts) == (2, 262, 0)


def test_the_inbox_is_told_what_was_announced() -> None:
    scene = Set()
    scene.receive(a_store(1), (1, 0, b"x"))
    assert scene.inbox.stored[0][0] == StoreRequest(
        sop_class_uid=CT,
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=EXPLICIT,
        calling_ae_title="CT1",
        called_ae_title="NODE",
        peer_address="192.0.2.7",
    )


def test_command_and_dataset_may_share_a_pdu() -> None:
    scene = Set()
    request, dataset = a_store(1)[2], b"dataset"
    body = struct.pack(">IBB", len(request) + 2, 1, COMMAND | LAST) + request
    body += struct.pack(">IBB", len(dataset) + 2, 1, LAST) + dataset
    scene.lane.receive(memoryview(struct.pack(">BxI", 4, len(body)) + body))
    assert scene.association.responses == [(1, 0)]


@pytest.mark.parametrize("fails_at", ["open", "write", "commit"])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StorageFull(), 0xA700, "storage.full"),
        (InstanceConflict(), 0x0111, "instance.conflict"),
        (ZeroDivisionError("CANARY"), 0x0110, "node.unexpected"),
    ],
)
def test_a_failure_is_answered_after_the_whole_dataset(fails_at: str, error: Exception, status: int, code: str) -> None:
    scene = Set(FakeInbox(fails_at, error))
    scene.receive(a_store(1), maximum_bytes=100)
    for _ in range(3):
        scene.lane.receive(memoryview(struct.pack(">BxIIBB", 4, 8, 4, 1, 0) + b"ab"))
        assert scene.association.responses == []
    scene.receive((1, 0, b"end"), a_store(2), (1, 0, b"next"))
    assert scene.association.responses == [(1, status), (2, status)]
    assert scene.inbox.open_drafts == 0
    assert [(name, values["code"], values["bytes"]) for name, values in scene.events] == [
        ("instance_refused", code, 9),
        ("instance_refused", code, 4),
    ]


def test_the_words_of_unexpected_errors_stay_in_the_house() -> None:
    scene = Set(FakeInbox("commit", ZeroDivisionError("CANARY")))
    scene.receive(a_store(1), (1, 0, b"x"))
    assert b"CANARY" not in b"".join(scene.association.sent)
    assert "CANARY" not in str(scene.events)


def test_another_class_than_the_context_has_is_a_mismatch() -> None:
    scene = Set()
    scene.receive(a_store(1, sop_class=MR), (1, 0, b"x"))
    assert scene.association.responses == [(1, 0xA900)]


def test_an_empty_instance_uid_is_answered() -> None:
    class Strict(FakeInbox):
        def open(self, request: StoreRequest) -> FakeDraft:
            assert request.sop_instance_uid == ""
            raise NodeError

    scene = Set(Strict())
    scene.receive(a_store(1, uid=""), (1, 0, b"x"))
    assert [message_id for message_id, _ in scene.association.responses] == [1]


def test_a_response_fits_into_the_pdus_of_the_peer() -> None:
    scene = Set(maximum_bytes=32)
    scene.receive(a_store(1), (1, 0, b"x"))
    assert scene.association.responses == [(1, 0)]
    assert all(len(pdu) - 6 <= 32 for pdu in scene.association.sent)


def test_other_messages_go_to_the_library() -> None:
    scene = Set()
    echo = command.echo_request(5, VERIFICATION)
    find = command.store_request(6, CT, "1.2").replace(
        b"\x00\x00\x00\x01\x02\0\0\0\x01\0", b"\x00\x00\x00\x01\x02\0\0\0\x20\0"
    )
    scene.receive((3, COMMAND, echo), (1, COMMAND, find), (1, 0, b"identifier"), maximum_bytes=4096)
    assert scene.association.passed_on == [
        (3, bytes([COMMAND | LAST]) + echo),
        (1, bytes([COMMAND | LAST]) + find),
        (1, bytes([LAST]) + b"identifier"),
    ]
    assert scene.inbox.stored == []
    scene.receive(a_store(7), (1, 0, b"x"))
    assert scene.association.responses == [(7, 0)]


@pytest.mark.parametrize(
    "messages",
    [
        [(1, 0, b"dataset without command")],
        [(5, COMMAND, command.store_request(1, CT, "1.2"))],
        [(1, COMMAND, b"no command")],
        [a_store(1), (3, 0, b"dataset on another context")],
        [a_store(1), a_store(2)],
        [(1, COMMAND, bytes(1 << 17))],
    ],
    ids=["no command", "no context", "garbage", "other context", "command in dataset", "endless command"],
)
def test_a_broken_protocol_ends_the_association(messages: list[tuple[int, int, bytes]]) -> None:
    scene = Set()
    with pytest.raises(PduInvalid):
        scene.receive(*messages, maximum_bytes=4096)
    scene.lane.close()
    assert scene.inbox.open_drafts == 0
    assert scene.inbox.stored == []


def test_a_refused_dataset_gives_its_room_back_before_it_ends() -> None:
    scene = Set(FakeInbox("write", StorageFull()))
    scene.receive(a_store(1))
    scene.lane.receive(memoryview(struct.pack(">BxIIBB", 4, 8, 4, 1, 0) + b"ab"))
    assert scene.inbox.open_drafts == 0
    assert scene.association.responses == []


def test_a_dataset_beyond_the_maximum_is_refused_and_the_next_is_not() -> None:
    scene = Set(maximum_instance_bytes=100)
    scene.receive(a_store(1), (1, 0, bytes(101)), a_store(2), (1, 0, bytes(100)))
    assert scene.association.responses == [(1, 0xC001), (2, 0)]
    assert [len(content) for _, content in scene.inbox.stored] == [100]
    assert [values["code"] for _, values in scene.events] == ["instance.too-large"]


def test_a_dataset_of_twice_the_maximum_ends_the_association() -> None:
    scene = Set(maximum_instance_bytes=100)
    scene.receive(a_store(1))
    with pytest.raises(PduInvalid):
        scene.receive((1, 0, bytes(201)), maximum_bytes=50)
    assert scene.inbox.open_drafts == 0


def test_a_store_without_a_dataset_is_answered() -> None:
    scene = Set()
    request = command.store_request(1, CT, "1.2.3")
    at = request.index(struct.pack("<HHI", 0, command.DATA_SET_TYPE, 2)) + 8
    scene.receive((1, COMMAND, request[:at] + struct.pack("<H", command.NO_DATA_SET) + request[at + 2 :]))
    assert scene.association.responses == [(1, 0xC000)]
    scene.receive(a_store(2), (1, 0, b"x"))
    assert scene.association.responses == [(1, 0xC000), (2, 0)]


def test_a_conflict_is_told_with_both_hashes() -> None:
    scene = Set(FakeInbox("commit", InstanceConflict(stored_hash="aa", refused_hash="bb")))
    scene.receive(a_store(1), (1, 0, b"x"))
    [(name, values)] = scene.events
    assert (name, values["stored_hash"], values["refused_hash"]) == ("instance_refused", "aa", "bb")


def another(message_id: int) -> tuple[int, int, bytes]:
    """A request that the library serves, with a dataset: N-ACTION."""
    request = command.store_request(message_id, CT, "1.2")
    return 1, COMMAND, request.replace(b"\x00\x01\x02\0\0\0\x01\0", b"\x00\x01\x02\0\0\0\x30\x01")


def test_datasets_that_stay_in_memory_are_short() -> None:
    scene = Set()
    scene.receive(another(1), (1, 0, bytes(1 << 16)), maximum_bytes=16384)
    with pytest.raises(PduInvalid):
        scene.receive(another(2), (1, 0, bytes((1 << 16) + 1)), maximum_bytes=16384)


def test_all_associations_share_the_memory_for_messages() -> None:
    budget = Budget(1500)
    first, second = Set(budget=budget), Set(budget=budget)
    first.receive(another(1), (1, 0, bytes(1000)), maximum_bytes=0)
    with pytest.raises(PduInvalid):
        second.receive(another(1), (1, 0, bytes(1000)), maximum_bytes=0)
    first.lane.served()
    third = Set(budget=budget)
    third.receive(another(1), (1, 0, bytes(1000)), maximum_bytes=0)
    for scene in (first, second, third):
        scene.lane.close()
    assert budget.left_bytes == 1500


def test_what_still_arrives_is_not_given_back_with_what_was_served() -> None:
    scene = Set(budget=(budget := Budget(1500)))
    scene.receive(another(1), (1, 0, bytes(100)), another(2), maximum_bytes=0)
    scene.lane.receive(memoryview(struct.pack(">BxIIBB", 4, 206, 202, 1, 0) + bytes(200)))
    scene.lane.served()
    assert budget.left_bytes == 1300


def test_progress_is_counted_by_content_and_whole_messages() -> None:
    scene = Set()
    scene.receive((3, COMMAND, command.echo_request(5, VERIFICATION)), maximum_bytes=0)
    assert scene.lane.messages == 1
    before = scene.lane.received_bytes
    scene.receive(a_store(1), maximum_bytes=0)
    scene.lane.receive(memoryview(struct.pack(">BxIIBB", 4, 8, 4, 1, 0) + b"ab"))
    assert scene.lane.messages == 1
    assert scene.lane.received_bytes == before + len(a_store(1)[2]) + 2
    scene.lane.receive(memoryview(struct.pack(">BxIIBB", 4, 6, 2, 1, LAST)))
    assert scene.lane.messages == 2


def test_a_dataset_that_does_not_end_is_discarded() -> None:
    scene = Set()
    scene.receive(a_store(1))
    assert scene.lane.is_receiving
    assert scene.inbox.open_drafts == 1
    scene.lane.close()
    assert not scene.lane.is_receiving
    assert (scene.inbox.open_drafts, scene.inbox.stored, scene.association.sent) == (0, [], [])
