"""An association on a bare socket, written byte by byte (PS3.8 section 9.3), to send what no library would.

with Wire(node.peer) as wire:
    wire.send(*wire.store(dataset, content)[:3])     # half a C-STORE
    wire.abort()
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from pacs_node.dimse import command
from pacs_node.dimse.pdu import COMMAND, p_data
from pacs_node.dimse.scu import Peer

ABORT = bytes([7, 0, 0, 0, 0, 4, 0, 0, 0, 0])
RELEASE = bytes([5, 0, 0, 0, 0, 4, 0, 0, 0, 0])
PDU_BYTES = 16384
"""As DCMTK sends it."""


def an_association_request(
    called: str = "PULMONODE", calling: str = "CT1", contexts: Sequence[tuple[str, str]] = ()
) -> bytes:
    """An A-ASSOCIATE-RQ with one transfer syntax in each context."""
    proposed = contexts or [(str(CTImageStorage), str(ExplicitVRLittleEndian))]
    offered = [a_context(2 * number + 1, abstract, transfer) for number, (abstract, transfer) in enumerate(proposed)]
    return a_request_of(APPLICATION_CONTEXT, *offered, USER_INFORMATION, called=called, calling=calling)


def a_request_of(
    *items: bytes, called: str | bytes = "PULMONODE", calling: str | bytes = "CT1", version: int = 1
) -> bytes:
    """An A-ASSOCIATE-RQ with any items."""
    titles = b"".join((title if isinstance(title, bytes) else title.encode()).ljust(16) for title in (called, calling))
    body = struct.pack(">H2x", version) + titles + bytes(32) + b"".join(items)
    return struct.pack(">BxI", 1, len(body)) + body


def a_context(number: int, abstract: str, *transfers: str) -> bytes:
    """A proposed presentation context; an empty abstract syntax is left out."""
    syntaxes = [an_item(0x30, abstract.encode())] if abstract else []
    syntaxes += [an_item(0x40, transfer.encode()) for transfer in transfers]
    return an_item(0x20, bytes([number, 0, 0, 0]) + b"".join(syntaxes))


def an_item(kind: int, content: bytes) -> bytes:
    """An item, or an item in an item."""
    return struct.pack(">BxH", kind, len(content)) + content


APPLICATION_CONTEXT = an_item(0x10, b"1.2.840.10008.3.1.1.1")
USER_INFORMATION = an_item(0x50, an_item(0x51, struct.pack(">I", PDU_BYTES)) + an_item(0x52, b"1.2.3.4"))


class Wire:
    """An open association as requestor; context 1 is CT in Explicit VR Little Endian unless others are given."""

    def __init__(self, peer: Peer, contexts: Sequence[tuple[str, str]] = ()) -> None:
        self.socket = socket.create_connection((peer.host, peer.port), 10)
        self.socket.sendall(an_association_request(peer.ae_title, contexts=contexts))
        assert self.receive()[0] == 2, "the association was not accepted"

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def store(self, dataset: Dataset, content: bytes) -> list[bytes]:
        """The PDUs of a C-STORE."""
        request = command.store_request(1, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
        return [*p_data(1, COMMAND, request, PDU_BYTES), *p_data(1, 0, content, PDU_BYTES)]

    def send(self, *pdus: bytes) -> None:
        """Send bytes."""
        for pdu in pdus:
            self.socket.sendall(pdu)

    def receive(self) -> bytes:
        """The next PDU with its header."""
        head = self._exactly(6)
        return head + self._exactly(int.from_bytes(head[2:], "big"))

    def status(self) -> int | None:
        """The status of the next response, which is one fragment."""
        return command.number(command.decode(self.receive()[12:]), command.STATUS)

    def abort(self) -> None:
        """Send an A-ABORT."""
        self.socket.sendall(ABORT)

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            piece = self.socket.recv(count - len(received))
            assert piece, "the peer closed the connection"
            received += piece
        return received


def answer_to(connection: socket.socket, timeout_s: float = 10) -> int | None:
    """The type of the next PDU, None if the other end closes; TimeoutError if it does neither."""
    connection.settimeout(timeout_s)
    try:
        head = connection.recv(1)
    except ConnectionError:
        return None
    return head[0] if head else None


def closes_after(connection: socket.socket, timeout_s: float) -> float:
    """Seconds until the other end closes; TimeoutError if it does not."""
    started_s = time.monotonic()
    connection.settimeout(timeout_s)
    with suppress(ConnectionError):
        while connection.recv(4096):
            pass
    return time.monotonic() - started_s
