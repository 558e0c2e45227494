"""An association that the node opens: one thread, every wait with a deadline.

The library's own requestor polls, loses responses under load, and waits for ever for the rest of a PDU; here the
library only encodes and decodes what is negotiated. Called from `scu` and `asking`.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from pacs_node.config import PeerTls
from pacs_node.dimse import command
from pacs_node.dimse.command import CommandInvalid
from pacs_node.dimse.lane import Context
from pacs_node.dimse.pdu import (
    ABORT,
    COMMAND,
    LAST,
    P_DATA,
    RELEASE_REQUEST,
    PduStream,
    acknowledge_at_once,
    fragments,
    p_data,
    send_at_once,
)
from pacs_node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from pacs_node.errors import PduInvalid, PeerRefused, PeerTimeout, PeerTlsFailed, PeerUnreachable
from pacs_node.tls import ADVICE, client_context, fault_of

MOST_CONTEXTS = 128
"""Presentation contexts of one association: odd numbers from 1 to 255 (PS3.8 section 9.3.2.2)."""
MOST_PDUS = 1 << 16
"""In which a dataset is sent: with the 4096 bytes that toolkits take at least, a quarter of a gigabyte."""
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_MAXIMUM_PDU_BYTES = 131072
_LONGEST_MESSAGE_BYTES = 8 << 20
_MOST_REQUESTS = 8
"""Of the peer, that wait until we have the answer to ours."""
_ACCEPTED, _REJECTED = 0x02, 0x03
_IS_RESPONSE = 0x8000
"""Bit of the command field (PS3.7 table E.1-1)."""
_ABORT_BY_USER = bytes([ABORT, 0, 0, 0, 0, 4, 0, 0, 0, 0])
_RELEASE = bytes([RELEASE_REQUEST, 0, 0, 0, 0, 4, 0, 0, 0, 0])
_RELEASE_S = 5.0
_CLOSED = "the peer closed the connection after the TLS handshake; it may not accept our certificate"
"""With TLS 1.3 a peer looks at our certificate when our handshake is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another application entity; with `tls` it is not spoken to in the clear."""

    name: str
    ae_title: str
    host: str
    port: int
    tls: PeerTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What the peer sent: a command set, and the dataset that may follow it."""

    context_id: int
    command: Mapping[int, bytes]
    dataset: bytes


class Requestor:
    """An open association; use it with `with`: it is released at the end, or aborted if an error leaves the block.

    Parameters
    ----------
    peer : to whom
    calling_ae_title : who we are
    proposed : at most `MOST_CONTEXTS` abstract syntaxes, each with transfer syntaxes in order of preference
    timeout_s : for connecting, and for every answer of the peer
    as_scp : abstract syntaxes among these whose SCP we are

    Attributes
    ----------
    contexts : the accepted presentation contexts
    maximum_bytes : how long a P-DATA-TF to the peer may be; 0 for no limit

    Raises
    ------
    PeerUnreachable, PeerTimeout, PeerRefused, PeerTlsFailed, TlsInvalid
    """

    def __init__(
        self,
        peer: Peer,
        calling_ae_title: str,
        proposed: Sequence[tuple[str, Sequence[str]]],
        timeout_s: float,
        as_scp: Collection[str] = (),
    ) -> None:
        self._timeout_s = timeout_s
        self._fragments: deque[tuple[int, int, bytes]] = deque()
        self._requests: deque[Message] = deque()
        self._pdus = PduStream(_MAXIMUM_PDU_BYTES)
        self._connection = _connected(peer, timeout_s)
        try:
            self.send_pdu(_association_request(peer, calling_ae_title, proposed, as_scp))
            answer = self._associated(self._receive_pdu())
        except BaseException as error:
            self._abort()
            if peer.tls is not None and type(error) is PeerUnreachable:
                raise PeerTlsFailed(_CLOSED) from error
            raise
        self.maximum_bytes = answer.maximum_length_received or 0
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
        """Send a request and wait for the command set of its response, as `responses`."""
        return dict(next(self.responses(context_id, request, dataset)).command)

    def responses(
        self, context_id: int, request: bytes, dataset: bytes | memoryview | None = None
    ) -> Iterator[Message]:
        """Send a request and wait for each of its responses; the caller stops at the last.

        Raises
        ------
        PeerUnreachable : the connection was lost
        PeerTimeout : the peer does not take the request, or does not answer
        PeerRefused : the peer aborted, or answered something else
        """
        self.send(context_id, request, dataset)
        sent = command.number(command.decode(request), command.MESSAGE_ID)
        while len(self._requests) < _MOST_REQUESTS:
            message = self._received()
            if not (command.number(message.command, command.COMMAND_FIELD) or 0) & _IS_RESPONSE:
                self._requests.append(message)
            elif command.number(message.command, command.MESSAGE_ID_BEING_RESPONDED_TO) != sent:
                raise PeerRefused("the peer answered to another request")
            else:
                yield message
        raise PeerRefused("the peer asks instead of answering")

    def send(self, context_id: int, message: bytes, dataset: bytes | memoryview | None = None) -> None:
        """Send a request or a response.

        Raises
        ------
        PeerUnreachable, PeerTimeout
        PeerRefused : the peer takes PDUs that are too small for this dataset
        """
        if dataset is not None:
            check_pdus(len(dataset), self.maximum_bytes)
        for pdu in p_data(context_id, COMMAND, message, self.maximum_bytes):
            self.send_pdu(pdu)
        if dataset is not None:
            for pdu in p_data(context_id, 0, memoryview(dataset), self.maximum_bytes):
                self.send_pdu(pdu)

    @property
    def address(self) -> str:
        """The address of the peer."""
        return str(self._connection.getpeername()[0])

    def hurry(self, ends_at: float) -> None:
        """Wait for nothing beyond this time of the monotonic clock, in seconds; raises PeerTimeout if it has come."""
        remaining_s = ends_at - time.monotonic()
        if remaining_s <= 0:
            raise PeerTimeout
        self._timeout_s = min(self._timeout_s, remaining_s)

    def p_data(self) -> memoryview:
        """The next P-DATA-TF, valid until the next call; raises as `responses`."""
        pdu = self._receive_pdu()
        if pdu[0] != P_DATA:
            raise PeerRefused(_reason_of(pdu))
        return pdu

    def request(self, timeout_s: float) -> Message:
        """Wait for a request of the peer; raises as `responses`."""
        if self._requests:
            return self._requests.popleft()
        self._timeout_s, usual_s = timeout_s, self._timeout_s
        try:
            return self._received()
        finally:
            self._timeout_s = usual_s

    def _received(self) -> Message:
        try:
            context_id, encoded = self._part(is_command=True)
            received = command.decode(encoded)
            has_dataset = command.number(received, command.DATA_SET_TYPE) != command.NO_DATA_SET
            dataset = self._part(is_command=False)[1] if has_dataset else b""
        except (PduInvalid, CommandInvalid) as error:
            raise PeerRefused("the peer answered something that is no response") from error
        return Message(context_id=context_id, command=received, dataset=dataset)

    def _part(self, *, is_command: bool) -> tuple[int, bytes]:
        """Presentation context and bytes of a whole command set or dataset."""
        received = bytearray()
        while True:
            context_id, control, fragment = self._fragment()
            received += fragment
            if bool(control & COMMAND) is not is_command or len(received) > _LONGEST_MESSAGE_BYTES:
                raise PduInvalid
            if control & LAST:
                return context_id, bytes(received)

    def _fragment(self) -> tuple[int, int, bytes]:
        while not self._fragments:
            found = fragments(self.p_data())
            self._fragments.extend((number, control, bytes(content)) for number, control, content in found)
        return self._fragments.popleft()

    def _associated(self, pdu: memoryview) -> Any:
        if pdu[0] != _ACCEPTED:
            raise PeerRefused(_reason_of(pdu))
        try:
            answer = A_ASSOCIATE_AC()
            answer.decode(bytes(pdu))
            return answer.to_primitive()
        except Exception as error:  # the library raises anything when it decodes what is malformed
            raise PeerRefused("the peer accepted the association in a way that cannot be read") from error

    def send_pdu(self, pdu: bytes) -> None:
        """Send a PDU; raises PeerUnreachable, PeerTimeout, PeerTlsFailed."""
        try:
            self._connection.sendall(pdu)
        except TimeoutError as error:
            raise PeerTimeout("the peer does not take what is sent") from error
        except OSError as error:
            raise _lost(error) from error

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
            raise _lost(error) from error
        except PduInvalid as error:
            raise PeerRefused("the peer does not speak DICOM") from error
        return pdu

    def _release(self) -> None:
        """All is answered: whatever happens to the release does not matter any more."""
        self._timeout_s = min(self._timeout_s, _RELEASE_S)
        with suppress(PeerUnreachable, PeerRefused):
            self.send_pdu(_RELEASE)
            self._receive_pdu()
        self._connection.close()

    def _abort(self) -> None:
        with suppress(OSError):
            self._connection.settimeout(1.0)
            self._connection.sendall(_ABORT_BY_USER)
        self._connection.close()


def check_pdus(length_bytes: int, maximum_bytes: int) -> None:
    """See that so much can be sent without wearing ourselves out over a header for every few bytes; raises PeerRefused.

    Parameters
    ----------
    maximum_bytes : of a P-DATA-TF, as the peer advertised; 0 for no limit
    """
    if maximum_bytes > 0 and length_bytes > MOST_PDUS * max(maximum_bytes - 6, 1):
        raise PeerRefused(
            f"the peer takes PDUs of {maximum_bytes} bytes, which are too small for what it is to be sent"
        )


def _connected(peer: Peer, timeout_s: float) -> socket.socket:
    context = client_context(peer.tls) if peer.tls is not None else None
    try:
        connection = socket.create_connection((peer.host, peer.port), timeout_s)
    except TimeoutError as error:
        raise PeerTimeout from error
    except OSError as error:
        raise PeerUnreachable from error
    send_at_once(connection)
    acknowledge_at_once(connection)
    if context is None or peer.tls is None:
        return connection
    return _secured(connection, context, peer.tls.server_name or peer.host)


def _secured(connection: socket.socket, context: ssl.SSLContext, server_name: str) -> ssl.SSLSocket:
    """The TLS handshake; it has the time-out of the connection for all of its bytes together."""
    try:
        return context.wrap_socket(connection, server_hostname=server_name)
    except OSError as error:
        connection.close()
        raise _tls_failure(error) from error


def _lost(error: OSError) -> PeerUnreachable | PeerTlsFailed:
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return _tls_failure(error)
    return PeerUnreachable("the connection to the peer was lost")


def _tls_failure(error: OSError) -> PeerTlsFailed:
    return PeerTlsFailed(f"no secure connection: {ADVICE[fault_of(error)]}")


def _association_request(
    peer: Peer, calling: str, proposed: Sequence[tuple[str, Sequence[str]]], as_scp: Collection[str]
) -> bytes:
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
    request.user_information = [length, implementation, version, *map(_as_scp, as_scp)]
    contexts = []
    for index, (abstract_syntax, transfer_syntaxes) in enumerate(proposed):
        context = PresentationContext()
        context.context_id = 2 * index + 1
        context.abstract_syntax, context.transfer_syntax = abstract_syntax, list(transfer_syntaxes)
        contexts.append(context)
    request.presentation_context_definition_list = contexts
    return bytes(A_ASSOCIATE_RQ(request).encode())


def _as_scp(abstract_syntax: str) -> SCP_SCU_RoleSelectionNegotiation:
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = abstract_syntax, False, True
    return role


def _reason_of(pdu: memoryview) -> str:
    if pdu[0] == _REJECTED:
        rejection = A_ASSOCIATE_RJ()
        with suppress(Exception):
            rejection.decode(bytes(pdu))
            return f"the peer rejected the association: {rejection.reason_str}"
        return "the peer rejected the association"
    return "the peer aborted the association" if pdu[0] == ABORT else "the peer answered out of turn"
