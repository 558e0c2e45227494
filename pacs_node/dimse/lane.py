"""C-STORE on the short way: fragments go from the receive buffer into the inbox, and the response straight back.

The library would collect the dataset in memory, queue it for another thread and decode it there. Messages of services
of our own are collected, and answered at once; every other message is handed to the library fragment by fragment. Runs
in the thread that reads the association; called from `provider`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pacs_node.dimse import command
from pacs_node.dimse.budget import Budget, Loan
from pacs_node.dimse.command import CommandInvalid
from pacs_node.dimse.pdu import COMMAND, LAST, fragments, p_data
from pacs_node.dimse.status import PROCESSING_FAILURE, SUCCESS, status_of
from pacs_node.domain.instance import Draft, Inbox, StoreRequest
from pacs_node.errors import (
    InstanceConflict,
    InstanceMismatch,
    InstanceTooLarge,
    InstanceUnreadable,
    NodeError,
    PduInvalid,
)

_LONGEST_COMMAND_BYTES = 1 << 16
"""A C-STORE-RQ has about 200 bytes."""
_LONGEST_OTHER_BYTES = 1 << 16
_LONGEST_OF_SERVICE = {"1.2.840.10008.1.20.1": 2 << 20}
"""Datasets of other messages stay in memory. A storage commitment needs up to 160 bytes for each instance."""


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


class Service(Protocol):
    """Serves one SOP class on one association."""

    def take(self, context_id: int, context: Context, request: Mapping[int, bytes], dataset: bytes) -> bytes | None:
        """Serve a message; gives the response back, None if the message is a response itself."""
        ...

    def close(self) -> None:
        """The association has ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one peer may ask of the node.

    Parameters
    ----------
    maximum_instance_bytes : a longer dataset is refused, one of twice the length ends its association
    memory : of all associations together, for messages that are kept in memory
    """

    maximum_instance_bytes: int
    memory: Budget


class Lane:
    """Receives the messages of one association.

    Parameters
    ----------
    association : the connection and what was negotiated on it
    inbox : takes the datasets
    limits : what the peer may ask
    on_event : told of refused instances
    services : our own, by SOP class

    Attributes
    ----------
    instances, bytes, refused : how many were stored, the length of their datasets, how many were refused
    messages, received_bytes : how many have wholly arrived, and the content of all that has
    """

    def __init__(
        self,
        association: Association,
        inbox: Inbox,
        limits: Limits,
        on_event: Callable[[str, dict[str, object]], None],
        services: Mapping[str, Service] | None = None,
    ) -> None:
        self._association = association
        self._services = services or {}
        self._served: _Served | None = None
        self._inbox = inbox
        self._limits = limits
        self._on_event = on_event
        self._command = bytearray()
        self._store: _Store | None = None
        self._other_bytes: int | None = None
        self._loan = Loan(limits.memory)
        self.instances = 0
        self.bytes = 0
        self.refused = 0
        self.messages = 0
        self.received_bytes = 0

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
            self.received_bytes += len(fragment)
            if control & COMMAND:
                self._take_command(context_id, fragment, is_last=bool(control & LAST))
            elif self._store is not None:
                self._take_dataset(self._store, context_id, fragment, is_last=bool(control & LAST))
            else:
                self._take_other(context_id, control, fragment)

    def served(self) -> None:
        """Every message that was passed on has been served; also called from another thread."""
        self._loan.repay()

    def close(self) -> None:
        """Forget what will not end."""
        self._loan.close()
        for service in self._services.values():
            service.close()
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
        if command.number(request, command.COMMAND_FIELD) == command.C_STORE_REQUEST:
            self._begin_store(_Store(context_id, request, self._limits.maximum_instance_bytes), has_dataset=has_dataset)
        elif self._association.contexts[context_id].sop_class_uid in self._services:
            served = _Served(context_id=context_id, request=request, dataset=bytearray())
            self._other_bytes, self._served = (0, served) if has_dataset else (None, None)
            if not has_dataset:
                self._serve(served)
        else:
            self._other_bytes = 0 if has_dataset else None
            self.messages += not has_dataset
            self._association.pass_on(context_id, bytes([COMMAND | LAST]) + encoded)

    def _begin_store(self, store: _Store, *, has_dataset: bool) -> None:
        if has_dataset:
            self._store = store
            store.open(self._inbox, self._association)
        else:
            store.error = InstanceUnreadable("the request has no dataset")
            self._answer(store)

    def _take_other(self, context_id: int, control: int, fragment: memoryview) -> None:
        if self._other_bytes is None:
            raise PduInvalid
        self._other_bytes += len(fragment)
        if self._other_bytes > self._longest_other_bytes(context_id) or not self._loan.has_taken(len(fragment)):
            raise PduInvalid
        if control & LAST:
            self._other_bytes = None
            self.messages += self._served is None
            self._loan.complete()
        if self._served is None:
            self._association.pass_on(context_id, bytes([control]) + fragment)
            return
        self._served.dataset.extend(fragment)
        if control & LAST:
            served, self._served = self._served, None
            self._serve(served)
            self._loan.repay()

    def _serve(self, served: _Served) -> None:
        self.messages += 1
        context = self._association.contexts[served.context_id]
        service = self._services[context.sop_class_uid]
        response = service.take(served.context_id, context, served.request, bytes(served.dataset))
        if response is not None:
            for pdu in p_data(served.context_id, COMMAND, response, self._association.sender.maximum_bytes):
                self._association.send(pdu)

    def _longest_other_bytes(self, context_id: int) -> int:
        context = self._association.contexts.get(context_id)
        return _LONGEST_OF_SERVICE.get(context.sop_class_uid if context else "", _LONGEST_OTHER_BYTES)

    def _take_dataset(self, store: _Store, context_id: int, fragment: memoryview, *, is_last: bool) -> None:
        if context_id != store.context_id:
            raise PduInvalid
        store.write(fragment)
        if is_last:
            self._store = None
            store.commit()
            self._answer(store)

    def _answer(self, store: _Store) -> None:
        self.messages += 1
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """A message of a service of our own, on its way in."""

    context_id: int
    request: Mapping[int, bytes]
    dataset: bytearray


class _Store:
    """One C-STORE from its request to its status; the first error decides, the rest of the dataset is read over."""

    def __init__(self, context_id: int, request: Mapping[int, bytes], maximum_bytes: int) -> None:
        self.context_id = context_id
        self.request = request
        self._maximum_bytes = maximum_bytes
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
        if self.size_bytes > self._maximum_bytes:
            if self.size_bytes > 2 * self._maximum_bytes:  # the status comes after the last byte, if ever
                raise PduInvalid
            self._refuse(InstanceTooLarge())
        elif self._draft is not None:
            try:
                self._draft.write(fragment)
            except Exception as error:  # noqa: BLE001 - the border
                self._refuse(error)

    def commit(self) -> None:
        if self._draft is not None:
            try:
                self._draft.commit()
            except Exception as error:  # noqa: BLE001 - the border
                self._refuse(error)
        self.discard()

    def _refuse(self, error: Exception) -> None:
        """Remember the first error, and give the room on the disk back before the sender has come to its end."""
        self.error = self.error or error
        self.discard()

    def discard(self) -> None:
        if self._draft is not None:
            self._draft.discard()
            self._draft = None


def _refusal(store: _Store, sender: Sender) -> dict[str, object]:
    hashes = {}
    if isinstance(store.error, InstanceConflict):
        hashes = {"stored_hash": store.error.stored_hash, "refused_hash": store.error.refused_hash}
    return {
        **hashes,
        "code": store.error.code if isinstance(store.error, NodeError) else "node.unexpected",
        "status": f"0x{store.status or PROCESSING_FAILURE:04X}",
        "bytes": store.size_bytes,
        "calling_ae_title": sender.calling_ae_title,
        "address": sender.address,
    }
