"""An association that the node opens: one thread, every wait with a deadline.

The library's own requestor polls, loses responses under load, and waits for ever for the rest of a PDU; here the
library only encodes and decodes what is negotiated. Called from `scu`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext

from pacs_node.dimse import command
from pacs_node.dimse.command import CommandInvalid
from pacs_node.dimse.lane import Context
from pacs_node.dimse.pdu import (
    ABORT,
    COMMAND,
    LAST,
    P_DATA,
    RELEASE_REQUEST,
    PduInvalid,
    PduStream,
    acknowledge_at_once,
    fragments,
    p_data,
    send_at_once,
)
from pacs_node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from pacs_node.errors import PeerRefused, PeerTimeout, PeerUnreachable

MOST_CONTEXTS = 128
"""Presentation contexts of one association: odd numbers from 1 to 255 (PS3.8 section 9.3.2.2)."""
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_MAXIMUM_PDU_BYTES = 131072
_LONGEST_RESPONSE_BYTES = 1 << 20
_ACCEPTED, _REJECTED = 0x02, 0x03
_ABORT_BY_USER = bytes([ABORT, 0, 0, 0, 0, 4, 0, 0, 0, 0])
_RELEASE = bytes([RELEASE_REQUEST, 0, 0, 0, 0, 4, 0, 0, 0, 0])
_RELEASE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another application entity."""

    name: str
    ae_title: str
    host: str
    port: int


class Requestor:
    """An open association; use it with `with`: it is released at the end, or aborted if an error leaves the block.

    Parameters
    ----------
    peer : to whom
    calling_ae_title : who we are
    proposed : at most `MOST_CONTEXTS` abstract syntaxes, each with transfer syntaxes in order of preference
    timeout_s : for connecting, and for every answer of the peer

    Attributes
    ----------
    contexts : the accepted presentation contexts

    Raises
    ------
    PeerUnreachable, PeerTimeout, PeerRefused
    """

    def __init__(
        self, peer: Peer, calling_ae_title: str, proposed: Sequence[tuple[str, Sequence[str]]], timeout_s: float
    ) -> None:
        self._timeout_s = timeout_s
        self._pdus = PduStream(_MAXIMUM_PDU_BYTES)
        self._connection = _connected(peer, timeout_s)
        try:
            self._send(_association_request(peer, calling_ae_title, proposed))
            answer = self._associated(self._receive_pdu())
        except BaseException:
            self._abort()
            raise
        self._maximum_bytes = answer.maximum_length_received or 0
        self.contexts: Mapping[int, Context] = {
            cx.context_id: Context(
                sop_class_uid=proposed[cx.context_id // 2][0], transfer_syntax_uid=str(cx.transfer_syntax[0])
            )
            for cx in answer.presentation_context_definition_results_list
            if cx.result == 0 and cx.transfer_syntax and cx.context_id < 2 * len(proposed)
        }

    def __enter__(self) -> Requestor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self._release()
        else:
            self._abort()

    def exchange(self, context_id: int, request: bytes, dataset: bytes | memoryview | None = None) -> dict[int, bytes]:
        """Send a request and wait for the command set of its response.

        Raises
        ------
        PeerUnreachable : the connection was lost
        PeerTimeout : the peer does not take the request, or does not answer
        PeerRefused : the peer aborted, or answered something else
        """
        for pdu in p_data(context_id, COMMAND, request, self._maximum_bytes):
            self._send(pdu)
        if dataset is not None:
            for pdu in p_data(context_id, 0, memoryview(dataset), self._maximum_bytes):
                self._send(pdu)
        try:
            response = command.decode(self._received_command())
        except (PduInvalid, CommandInvalid) as error:
            raise PeerRefused("the peer answered something that is no response") from error
        sent = command.number(command.decode(request), command.MESSAGE_ID)
        if command.number(response, command.MESSAGE_ID_BEING_RESPONDED_TO) != sent:
            raise PeerRefused("the peer answered to another request")
        return response

    def _received_command(self) -> bytes:
        received = b""
        while True:
            pdu = self._receive_pdu()
            if pdu[0] != P_DATA:
                raise PeerRefused(_reason_of(pdu))
            for _, control, fragment in fragments(pdu):
                received += fragment
                if control & COMMAND and control & LAST:
                    return received
            if len(received) > _LONGEST_RESPONSE_BYTES:
                raise PduInvalid

    def _associated(self, pdu: memoryview) -> Any:
        if pdu[0] != _ACCEPTED:
            raise PeerRefused(_reason_of(pdu))
        try:
            answer = A_ASSOCIATE_AC()
            answer.decode(bytes(pdu))
            return answer.to_primitive()
        except Exception as error:  # the library raises anything when it decodes what is malformed
            raise PeerRefused("the peer accepted the association in a way that cannot be read") from error

    def _send(self, pdu: bytes) -> None:
        try:
            self._connection.sendall(pdu)
        except TimeoutError as error:
            raise PeerTimeout("the peer does not take what is sent") from error
        except OSError as error:
            raise PeerUnreachable("the connection to the peer was lost") from error

    def _receive_pdu(self) -> memoryview:
        deadline_s = time.monotonic() + self._timeout_s
        try:
            while (pdu := self._pdus.next()) is None:
                self._connection.settimeout(max(deadline_s - time.monotonic(), 0.001))
                if not self._pdus.fill(self._connection):
                    raise PeerUnreachable("the peer closed the connection")
            self._connection.settimeout(self._timeout_s)
        except TimeoutError as error:
            raise PeerTimeout from error
        except OSError as error:
            raise PeerUnreachable("the connection to the peer was lost") from error
        except PduInvalid as error:
            raise PeerRefused("the peer does not speak DICOM") from error
        return pdu

    def _release(self) -> None:
        """All is answered: whatever happens to the release does not matter any more."""
        self._timeout_s = min(self._timeout_s, _RELEASE_S)
        with suppress(PeerUnreachable, PeerRefused):
            self._send(_RELEASE)
            self._receive_pdu()
        self._connection.close()

    def _abort(self) -> None:
        with suppress(OSError):
            self._connection.settimeout(1.0)
            self._connection.sendall(_ABORT_BY_USER)
        self._connection.close()


def _connected(peer: Peer, timeout_s: float) -> socket.socket:
    try:
        connection = socket.create_connection((peer.host, peer.port), timeout_s)
    except TimeoutError as error:
        raise PeerTimeout from error
    except OSError as error:
        raise PeerUnreachable from error
    send_at_once(connection)
    acknowledge_at_once(connection)
    return connection


def _association_request(peer: Peer, calling: str, proposed: Sequence[tuple[str, Sequence[str]]]) -> bytes:
    if not 0 < len(proposed) <= MOST_CONTEXTS:
        raise ValueError(f"an association has 1 to {MOST_CONTEXTS} presentation contexts")
    request = A_ASSOCIATE()
    request.application_context_name = _APPLICATION_CONTEXT
    request.calling_ae_title, request.called_ae_title = calling, peer.ae_title
    length, implementation, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = _MAXIMUM_PDU_BYTES
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version.implementation_version_name = IMPLEMENTATION_VERSION
    request.user_information = [length, implementation, version]
    contexts = []
    for index, (abstract_syntax, transfer_syntaxes) in enumerate(proposed):
        context = PresentationContext()
        context.context_id = 2 * index + 1
        context.abstract_syntax, context.transfer_syntax = abstract_syntax, list(transfer_syntaxes)
        contexts.append(context)
    request.presentation_context_definition_list = contexts
    return bytes(A_ASSOCIATE_RQ(request).encode())


def _reason_of(pdu: memoryview) -> str:
    if pdu[0] == _REJECTED:
        rejection = A_ASSOCIATE_RJ()
        with suppress(Exception):
            rejection.decode(bytes(pdu))
            return f"the peer rejected the association: {rejection.reason_str}"
        return "the peer rejected the association"
    return "the peer aborted the association" if pdu[0] == ABORT else "the peer answered out of turn"
