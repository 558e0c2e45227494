"""Storage commitment in bytes: what is written can be read, and what is malformed is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pacs_node.dimse import command
from pacs_node.dimse.commitment import (
    PUSH_INSTANCE,
    PUSH_MODEL,
    CommitmentService,
    action_request,
    dataset_of_report,
    dataset_of_request,
    decoded_report,
    report_request,
)
from pacs_node.dimse.datasets import encoded
from pacs_node.dimse.lane import Context, Sender
from pacs_node.domain.commitment import Asker, CommitmentReport, CommitmentRequest, Failed, Reference
from pacs_node.errors import DatabaseUnavailable, NodeError, NotFound, PeerRefused, PeerUnreachable

REFERENCE = Reference(sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid="1.2.003.4")
"""With leading zeros, as some scanners write them."""
REQUEST = CommitmentRequest(transaction_uid="1.2.9", references=(REFERENCE,))
REPORTS = [
    CommitmentReport(transaction_uid="1.2.9", committed=(REFERENCE,), failed=()),
    CommitmentReport(transaction_uid="1.2.9", committed=(), failed=(Failed(reference=REFERENCE, reason=0x0112),)),
]


class FakeAssociation:
    def __init__(self, maximum_bytes: int = 64) -> None:
        self.sender = Sender(
            calling_ae_title="CT1", called_ae_title="NODE", address="192.0.2.7", maximum_bytes=maximum_bytes
        )
        self.posted: list[list[bytes]] = []

    def post(self, message: list[bytes]) -> None:
        self.posted.append(message)


class FakeDesk:
    """Takes everything, unless it fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.taken: list[object] = []

    def accept(self, request: CommitmentRequest, asker: Asker, reply: Callable[[CommitmentReport], None]) -> None:
        self.reply = reply
        self._take(request, asker)

    def conclude(self, report: CommitmentReport) -> None:
        self._take(report)

    def _take(self, *what: object) -> None:
        if self.error is not None:
            raise self.error
        self.taken.extend(what)


def _status(desk: FakeDesk, request: bytes, dataset: bytes, syntax: str = ExplicitVRLittleEndian) -> int | None:
    context = Context(sop_class_uid=PUSH_MODEL, transfer_syntax_uid=syntax)
    service = CommitmentService(FakeAssociation(), desk)
    response = service.take(1, context, command.decode(request), dataset)
    assert response is not None
    answered = command.decode(response)
    assert command.number(answered, command.MESSAGE_ID_BEING_RESPONDED_TO) == 7
    assert command.text(answered, command.AFFECTED_SOP_CLASS_UID) == PUSH_MODEL
    assert command.text(answered, command.AFFECTED_SOP_INSTANCE_UID) == PUSH_INSTANCE
    return command.number(answered, command.STATUS)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_requests_and_reports_are_read_in_every_uncompressed_syntax(syntax: str) -> None:
    desk = FakeDesk()
    assert _status(desk, action_request(7), encoded(dataset_of_request(REQUEST), syntax), syntax) == 0x0000
    assert desk.taken == [REQUEST, Asker(calling_ae_title="CT1", address="192.0.2.7")]
    for report in REPORTS:
        content = encoded(dataset_of_report(report), syntax)
        assert decoded_report(content, syntax) == report
        assert _status(desk, report_request(7, report), content, syntax) == 0x0000
    assert desk.taken[2:] == REPORTS


def test_a_report_with_failures_is_of_its_own_event_type() -> None:
    kinds = [command.number(command.decode(report_request(7, report)), command.EVENT_TYPE_ID) for report in REPORTS]
    assert kinds == [1, 2]


@pytest.mark.parametrize(
    ("error", "status"),
    [(DatabaseUnavailable(), 0x0213), (NotFound(), 0x0115), (NodeError(), 0x0110), (OSError(), 0x0110)],
)
def test_what_goes_wrong_at_the_desk_is_answered_with_its_status(error: Exception, status: int) -> None:
    content = encoded(dataset_of_request(REQUEST), ExplicitVRLittleEndian)
    assert _status(FakeDesk(error), action_request(7), content) == status


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (command.action_request(7, PUSH_MODEL, PUSH_INSTANCE, 2), 0x0123),
        (command.event_report_request(7, PUSH_MODEL, PUSH_INSTANCE, 3), 0x0113),
    ],
    ids=["action", "event"],
)
def test_an_unknown_kind_has_a_status_of_its_own(request_: bytes, status: int) -> None:
    desk = FakeDesk()
    assert _status(desk, request_, encoded(dataset_of_request(REQUEST), ExplicitVRLittleEndian)) == status
    assert desk.taken == []


def test_the_failure_reason_may_be_missing() -> None:
    dataset = dataset_of_report(REPORTS[1])
    del dataset.FailedSOPSequence[0].FailureReason
    report = decoded_report(encoded(dataset, ExplicitVRLittleEndian), ExplicitVRLittleEndian)
    assert report.failed == (Failed(reference=REFERENCE, reason=0x0110),)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_failure_reason_of_several_values_is_none(syntax: str) -> None:
    dataset = dataset_of_report(REPORTS[1])
    dataset.FailedSOPSequence[0].FailureReason = [0x0112, 0x0119]
    assert decoded_report(encoded(dataset, syntax), syntax).failed == (Failed(reference=REFERENCE, reason=0x0110),)


@pytest.mark.parametrize(("maximum_bytes", "error"), [(0, PeerUnreachable), (64, PeerUnreachable), (1, PeerRefused)])
def test_a_long_report_is_not_sent_in_crumbs(maximum_bytes: int, error: type[NodeError]) -> None:
    """A peer may say that it takes no more than a byte; then nearly all that is sent is headers."""
    desk = FakeDesk()
    service = CommitmentService(FakeAssociation(maximum_bytes), desk)
    context = Context(sop_class_uid=PUSH_MODEL, transfer_syntax_uid=ExplicitVRLittleEndian)
    request = encoded(dataset_of_request(REQUEST), ExplicitVRLittleEndian)
    service.take(1, context, command.decode(action_request(7)), request)
    service.close()  # nobody waits for an answer
    with pytest.raises(error):
        desk.reply(CommitmentReport(transaction_uid="1.2.9", committed=(REFERENCE,) * 1500, failed=()))
