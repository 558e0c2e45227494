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
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (abstract, transfer) in enumerate(proposed):
        body = bytes([2 * number + 1, 0, 0, 0]) + _item(0x30, abstract.encode()) + _item(0x40, transfer.encode())
        items += _item(0x20, body)
    items += _item(0x50, _item(0x51, struct.pack(">I", PDU_BYTES)) + _item(0x52, b"1.2.3.4"))
    titles = called.encode().ljust(16) + calling.encode().ljust(16)
    body = struct.pack(">H2x", 1) + titles + bytes(32) + items
    return struct.pack(">BxI", 1, len(body)) + body


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


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


def closes_after(connection: socket.socket, timeout_s: float) -> float:
    """Seconds until the other end closes; TimeoutError if it does not."""
    started_s = time.monotonic()
    connection.settimeout(timeout_s)
    with suppress(ConnectionError):
        while connection.recv(4096):
            pass
    return time.monotonic() - started_s
