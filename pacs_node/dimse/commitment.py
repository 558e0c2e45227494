"""Storage commitment on an association: what the messages say, and how each is answered.

Whoever opened the association, the lane hands the messages of this SOP class to the `CommitmentService`; `asking` opens
associations of its own.

References
----------
PS3.4 annex J; statuses: PS3.7 sections 10.1.1.1.8 and 10.1.4.1.10, annex C.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from pydicom.dataset import Dataset

from pacs_node.dimse import command
from pacs_node.dimse.datasets import DatasetInvalid, decoded, encoded, number_of, put_uid, text_of
from pacs_node.dimse.lane import Context, Sender
from pacs_node.dimse.pdu import COMMAND, p_data
from pacs_node.dimse.requestor import check_pdus
from pacs_node.domain.commitment import Asker, CommitmentReport, CommitmentRequest, Desk, Failed, Reference
from pacs_node.domain.identifiers import is_uid
from pacs_node.errors import CommitmentRefused, NodeError, NotFound, PeerTimeout, PeerUnreachable, TransactionDuplicate

PUSH_MODEL, PUSH_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
"""The SOP class, and its only instance."""
REQUEST_COMMITMENT = 1
ALL_COMMITTED, SOME_FAILED = 1, 2
"""Action Type ID; Event Type IDs (PS3.4 tables J.3-1 and J.3-2)."""
RESPONSE_S = 15.0
LEAST_ITEM_BYTES = 40
"""What an item of a reference takes; more items than that are empty ones, which would only cost memory."""

ITEM = b"\xfe\xff\x00\xe0"

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
NO_SUCH_EVENT = 0x0113
INVALID_ARGUMENT = 0x0115
NO_SUCH_CLASS = 0x0118
NO_SUCH_ACTION = 0x0123
DUPLICATE_TRANSACTION = 0x0131
UNRECOGNISED_OPERATION = 0x0211
RESOURCE_LIMITATION = 0x0213

STATUSES = (
    (SUCCESS, "the request is recorded, and will be reported on; the report is recorded"),
    (PROCESSING_FAILURE, "whatever nobody expected"),
    (NO_SUCH_INSTANCE, "it is not about the well-known instance"),
    (NO_SUCH_EVENT, "an Event Type ID other than 1 and 2"),
    (INVALID_ARGUMENT, "the dataset is malformed, or a report about an unknown transaction"),
    (NO_SUCH_CLASS, "it is not about the SOP class of the presentation context"),
    (NO_SUCH_ACTION, "an Action Type ID other than 1"),
    (DUPLICATE_TRANSACTION, "the sender used the Transaction UID for other instances"),
    (UNRECOGNISED_OPERATION, "a message of another kind"),
    (RESOURCE_LIMITATION, "it cannot be recorded now"),
)
"""What we answer to N-ACTION and N-EVENT-REPORT, for people."""


class Association(Protocol):
    """What the service needs of an association that a peer has opened."""

    @property
    def sender(self) -> Sender:
        """The peer."""
        ...

    def post(self, message: Sequence[bytes]) -> None:
        """Let the thread that reads send these PDUs, with nothing between them; from any thread."""
        ...


class CommitmentService:
    """The storage commitment of one association.

    Parameters
    ----------
    association : on which the messages come and go
    desk : takes what was understood
    """

    def __init__(self, association: Association, desk: Desk) -> None:
        self._association = association
        self._desk = desk
        self._numbers = itertools.count(1)
        self._answers: dict[int, int | None] = {}
        self._changed = threading.Condition()
        self._is_open = True

    def take(self, context_id: int, context: Context, request: Mapping[int, bytes], dataset: bytes) -> bytes | None:
        """Serve a message; gives the response back, None if the message is a response itself."""
        field = command.number(request, command.COMMAND_FIELD)
        if field == command.N_EVENT_REPORT_RESPONSE:
            self._take_response(request)
            return None
        try:
            status = self._status(context_id, context.transfer_syntax_uid, request, dataset)
        except (DatasetInvalid, NotFound):
            status = INVALID_ARGUMENT
        except TransactionDuplicate:
            status = DUPLICATE_TRANSACTION
        except NodeError as error:
            status = RESOURCE_LIMITATION if error.retryable else PROCESSING_FAILURE
        except Exception:  # noqa: BLE001 - the border: every request is answered
            status = PROCESSING_FAILURE
        return command.normalized_response(request, status)

    def close(self) -> None:
        """The association has ended: nobody waits for an answer any more."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def _status(self, context_id: int, transfer_syntax_uid: str, request: Mapping[int, bytes], dataset: bytes) -> int:
        field = command.number(request, command.COMMAND_FIELD)
        if field not in (command.N_ACTION_REQUEST, command.N_EVENT_REPORT_REQUEST):
            return UNRECOGNISED_OPERATION
        if dataset.count(ITEM) * LEAST_ITEM_BYTES > len(dataset):
            return INVALID_ARGUMENT
        is_action = field == command.N_ACTION_REQUEST
        objection = _objection(request, is_action=is_action)
        if objection is not None:
            return objection
        if is_action:
            asked = request_from(decoded(dataset, transfer_syntax_uid))
            sender = self._association.sender
            asker = Asker(calling_ae_title=sender.calling_ae_title, address=sender.address)
            self._desk.accept(asked, asker, lambda report: self._report(context_id, transfer_syntax_uid, report))
        else:
            self._desk.conclude(report_from(decoded(dataset, transfer_syntax_uid)))
        return SUCCESS

    def _report(self, context_id: int, transfer_syntax_uid: str, report: CommitmentReport) -> None:
        """Tell the peer on this association and wait for its answer; not from the thread that reads.

        Raises
        ------
        PeerUnreachable, PeerTimeout, CommitmentRefused
        PeerRefused : it takes PDUs that are too small for the report
        """
        number = next(self._numbers) % 0xFFFF + 1
        request = report_request(number, report)
        content = encoded(dataset_of_report(report), transfer_syntax_uid)
        most = self._association.sender.maximum_bytes
        check_pdus(len(content), most)
        message = [*p_data(context_id, COMMAND, request, most), *p_data(context_id, 0, content, most)]
        with self._changed:
            self._answers[number] = None
            if self._is_open:
                self._association.post(message)
            self._changed.wait_for(lambda: self._answers[number] is not None or not self._is_open, RESPONSE_S)
            status = self._answers.pop(number)
            if status is None:
                raise PeerTimeout if self._is_open else PeerUnreachable("the peer has ended the association")
        check_response(status)

    def _take_response(self, response: Mapping[int, bytes]) -> None:
        number = command.number(response, command.MESSAGE_ID_BEING_RESPONDED_TO)
        status = command.number(response, command.STATUS)
        with self._changed:
            if number in self._answers:
                self._answers[number] = PROCESSING_FAILURE if status is None else status
                self._changed.notify_all()


def check_response(status: int | None) -> None:
    """See that the peer took what it was told; raises CommitmentRefused."""
    if status != SUCCESS:
        shown = "no status" if status is None else f"0x{status:04X}"
        raise CommitmentRefused(f"the peer answered storage commitment with {shown}")


def action_request(message_id: int) -> bytes:
    """The command that asks for a promise."""
    return command.action_request(message_id, PUSH_MODEL, PUSH_INSTANCE, REQUEST_COMMITMENT)


def report_request(message_id: int, report: CommitmentReport) -> bytes:
    """The command that reports about one."""
    event = SOME_FAILED if report.failed else ALL_COMMITTED
    return command.event_report_request(message_id, PUSH_MODEL, PUSH_INSTANCE, event)


def request_from(dataset: Dataset) -> CommitmentRequest:
    """The request in an action information (PS3.4 table J.3-1); raises DatasetInvalid."""
    references = _references(dataset, "ReferencedSOPSequence")
    if not references:
        raise DatasetInvalid
    return CommitmentRequest(transaction_uid=_uid(dataset, "TransactionUID"), references=references)


def report_from(dataset: Dataset) -> CommitmentReport:
    """The report in an event information (PS3.4 table J.3-2); raises DatasetInvalid."""
    items = dataset.get("FailedSOPSequence") or ()
    references = _references(dataset, "FailedSOPSequence")
    reasons = [number_of(item, "FailureReason", PROCESSING_FAILURE) for item in items]
    failed = zip(references, reasons, strict=True)
    return CommitmentReport(
        transaction_uid=_uid(dataset, "TransactionUID"),
        committed=_references(dataset, "ReferencedSOPSequence"),
        failed=tuple(Failed(reference=reference, reason=reason) for reference, reason in failed),
    )


def dataset_of_request(request: CommitmentRequest) -> Dataset:
    """The action information of a request."""
    dataset = Dataset()
    put_uid(dataset, "TransactionUID", request.transaction_uid)
    dataset.ReferencedSOPSequence = [_item(reference) for reference in request.references]
    return dataset


def dataset_of_report(report: CommitmentReport) -> Dataset:
    """The event information of a report; a sequence without items is left out."""
    dataset = Dataset()
    put_uid(dataset, "TransactionUID", report.transaction_uid)
    if report.committed:
        dataset.ReferencedSOPSequence = [_item(reference) for reference in report.committed]
    if report.failed:
        dataset.FailedSOPSequence = [_item(failed.reference, failed.reason) for failed in report.failed]
    return dataset


def decoded_report(content: bytes, transfer_syntax_uid: str) -> CommitmentReport:
    """The report in the bytes of an event information; raises DatasetInvalid."""
    return report_from(decoded(content, transfer_syntax_uid))


def _objection(request: Mapping[int, bytes], *, is_action: bool) -> int | None:
    """What is wrong with the command itself."""
    if is_action:
        asked = (command.REQUESTED_SOP_CLASS_UID, command.REQUESTED_SOP_INSTANCE_UID, command.ACTION_TYPE_ID)
        kinds, unknown = {REQUEST_COMMITMENT}, NO_SUCH_ACTION
    else:
        asked = (command.AFFECTED_SOP_CLASS_UID, command.AFFECTED_SOP_INSTANCE_UID, command.EVENT_TYPE_ID)
        kinds, unknown = {ALL_COMMITTED, SOME_FAILED}, NO_SUCH_EVENT
    if command.text(request, asked[0]) != PUSH_MODEL:
        return NO_SUCH_CLASS
    if command.text(request, asked[1]) != PUSH_INSTANCE:
        return NO_SUCH_INSTANCE
    return None if command.number(request, asked[2]) in kinds else unknown


def _references(dataset: Dataset, keyword: str) -> tuple[Reference, ...]:
    try:
        return tuple(
            Reference(
                sop_class_uid=_uid(item, "ReferencedSOPClassUID"),
                sop_instance_uid=_uid(item, "ReferencedSOPInstanceUID"),
            )
            for item in dataset.get(keyword) or ()
        )
    except (AttributeError, TypeError) as error:
        raise DatasetInvalid from error


def _uid(dataset: Dataset, keyword: str) -> str:
    uid = text_of(dataset, keyword)
    if not is_uid(uid):
        raise DatasetInvalid
    return uid


def _item(reference: Reference, reason: int | None = None) -> Dataset:
    item = Dataset()
    put_uid(item, "ReferencedSOPClassUID", reference.sop_class_uid)
    put_uid(item, "ReferencedSOPInstanceUID", reference.sop_instance_uid)
    if reason is not None:
        item.FailureReason = reason
    return item
