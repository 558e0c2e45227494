"""C-STORE on the short way: fragments go from the receive buffer into the inbox, and the response straight back.

The library would collect the dataset in memory, queue it for another thread and decode it there. Every other message is
handed to the library fragment by fragment. Runs in the thread that reads the association; called from `provider`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pacs_node.dimse import command
from pacs_node.dimse.command import CommandInvalid
from pacs_node.dimse.pdu import COMMAND, LAST, PduInvalid, fragments, p_data
from pacs_node.dimse.status import PROCESSING_FAILURE, SUCCESS, status_of
from pacs_node.domain.instance import Draft, Inbox, StoreRequest
from pacs_node.errors import InstanceMismatch, NodeError

_LONGEST_COMMAND_BYTES = 1 << 16
"""A C-STORE-RQ has about 200 bytes."""
_LONGEST_OTHER_BYTES = 64 << 20
"""Datasets of other messages stay in memory; a storage commitment of 100,000 instances has 20 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """An accepted presentation context."""

    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who is at the other end of the association, and how long a P-DATA-TF to it may be (0: no limit)."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    maximum_bytes: int


class Association(Protocol):
    """What the lane needs of the association that it reads."""

    @property
    def sender(self) -> Sender:
        """The peer."""
        ...

    @property
    def contexts(self) -> Mapping[int, Context]:
        """The accepted presentation contexts."""
        ...

    def send(self, pdu: bytes) -> None:
        """Send bytes to the peer now."""
        ...

    def pass_on(self, context_id: int, fragment: bytes) -> None:
        """Give the library a fragment, which begins with its message control header."""
        ...


class Lane:
    """Receives the messages of one association.

    Parameters
    ----------
    association : the connection and what was negotiated on it
    inbox : takes the datasets
    on_event : told of refused instances

    Attributes
    ----------
    instances, bytes, refused : how many were stored, the length of their datasets, how many were refused
    """

    def __init__(
        self, association: Association, inbox: Inbox, on_event: Callable[[str, dict[str, object]], None]
    ) -> None:
        self._association = association
        self._inbox = inbox
        self._on_event = on_event
        self._command = bytearray()
        self._store: _Store | None = None
        self._other_bytes: int | None = None
        self.instances = 0
        self.bytes = 0
        self.refused = 0

    @property
    def is_receiving(self) -> bool:
        """Whether a dataset has begun and not ended."""
        return self._store is not None

    def receive(self, pdu: memoryview) -> None:
        """Take a P-DATA-TF.

        Raises
        ------
        PduInvalid : it breaks the protocol; the association has to be aborted
        """
        for context_id, control, fragment in fragments(pdu):
            if control & COMMAND:
                self._take_command(context_id, fragment, is_last=bool(control & LAST))
            elif self._store is not None:
                self._take_dataset(self._store, context_id, fragment, is_last=bool(control & LAST))
            else:
                self._take_other(context_id, control, fragment)

    def close(self) -> None:
        """Forget a dataset that will not end."""
        if self._store is not None:
            self._store.discard()
            self._store = None

    def _take_command(self, context_id: int, fragment: memoryview, *, is_last: bool) -> None:
        if self._store is not None or self._other_bytes is not None or context_id not in self._association.contexts:
            raise PduInvalid
        self._command += fragment
        if len(self._command) > _LONGEST_COMMAND_BYTES:
            raise PduInvalid
        if is_last:
            encoded = bytes(self._command)
            self._command.clear()
            self._begin(context_id, encoded)

    def _begin(self, context_id: int, encoded: bytes) -> None:
        try:
            request = command.decode(encoded)
        except CommandInvalid as error:
            raise PduInvalid from error
        has_dataset = command.number(request, command.DATA_SET_TYPE) != command.NO_DATA_SET
        if has_dataset and command.number(request, command.COMMAND_FIELD) == command.C_STORE_REQUEST:
            self._store = _Store(context_id, request)
            self._store.open(self._inbox, self._association)
        else:
            self._other_bytes = 0 if has_dataset else None
            self._association.pass_on(context_id, bytes([COMMAND | LAST]) + encoded)

    def _take_other(self, context_id: int, control: int, fragment: memoryview) -> None:
        if self._other_bytes is None:
            raise PduInvalid
        self._other_bytes += len(fragment)
        if self._other_bytes > _LONGEST_OTHER_BYTES:
            raise PduInvalid
        if control & LAST:
            self._other_bytes = None
        self._association.pass_on(context_id, bytes([control]) + fragment)

    def _take_dataset(self, store: _Store, context_id: int, fragment: memoryview, *, is_last: bool) -> None:
        if context_id != store.context_id:
            raise PduInvalid
        store.write(fragment)
        if is_last:
            self._store = None
            store.commit()
            self._answer(store)

    def _answer(self, store: _Store) -> None:
        sender = self._association.sender
        comment = ""
        if store.status == SUCCESS:
            self.instances += 1
            self.bytes += store.size_bytes
        else:
            self.refused += 1
            comment = str(store.error) if isinstance(store.error, NodeError) else "not expected"
            self._on_event("instance_refused", _refusal(store, sender))
        response = command.store_response(store.request, store.status, comment)
        for pdu in p_data(store.context_id, COMMAND, response, sender.maximum_bytes):
            self._association.send(pdu)


class _Store:
    """One C-STORE from its request to its status; the first error decides, the rest of the dataset is read over."""

    def __init__(self, context_id: int, request: Mapping[int, bytes]) -> None:
        self.context_id = context_id
        self.request = request
        self.size_bytes = 0
        self.error: Exception | None = None
        self._draft: Draft | None = None

    @property
    def status(self) -> int:
        return SUCCESS if self.error is None else status_of(self.error)

    def open(self, inbox: Inbox, association: Association) -> None:
        context, sender = association.contexts[self.context_id], association.sender
        sop_class_uid = command.text(self.request, command.AFFECTED_SOP_CLASS_UID)
        try:
            if sop_class_uid != context.sop_class_uid:
                raise InstanceMismatch("the presentation context is for another SOP class")
            self._draft = inbox.open(
                StoreRequest(
                    sop_class_uid=sop_class_uid,
                    sop_instance_uid=command.text(self.request, command.AFFECTED_SOP_INSTANCE_UID),
                    transfer_syntax_uid=context.transfer_syntax_uid,
                    calling_ae_title=sender.calling_ae_title,
                    called_ae_title=sender.called_ae_title,
                    peer_address=sender.address,
                )
            )
        except Exception as error:  # noqa: BLE001 - the border: every C-STORE is answered
            self.error = error

    def write(self, fragment: memoryview) -> None:
        self.size_bytes += len(fragment)
        if self._draft is not None and self.error is None:
            try:
                self._draft.write(fragment)
            except Exception as error:  # noqa: BLE001 - the border
                self.error = error

    def commit(self) -> None:
        if self._draft is not None and self.error is None:
            try:
                self._draft.commit()
            except Exception as error:  # noqa: BLE001 - the border
                self.error = error
        self.discard()

    def discard(self) -> None:
        if self._draft is not None:
            self._draft.discard()
            self._draft = None


def _refusal(store: _Store, sender: Sender) -> dict[str, object]:
    return {
        "code": store.error.code if isinstance(store.error, NodeError) else "node.unexpected",
        "status": f"0x{store.status or PROCESSING_FAILURE:04X}",
        "bytes": store.size_bytes,
        "calling_ae_title": sender.calling_ae_title,
        "address": sender.address,
    }
