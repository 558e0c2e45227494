"""PDUs of the upper layer as bytes: cutting them out of a stream, and the fragments inside P-DATA-TF.

References: PS3.8 section 9.3 (PDUs), annex E (fragments). What association PDUs mean is the library's. Called from
`provider`, `lane` and `requestor`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from pacs_node.errors import PduInvalid

P_DATA = 0x04
RELEASE_REQUEST = 0x05
RELEASE_RESPONSE = 0x06
ABORT = 0x07
PDU_TYPES = range(0x01, 0x08)

COMMAND, LAST = 0x01, 0x02
"""Bits of the message control header (PS3.8 section E.2)."""

_HEADER_BYTES = 6
_LONGEST_BYTES = 1 << 20
"""No PDU may be longer, unless we advertised more: an association request with 128 contexts has less."""
_BUFFER_BYTES = 2 * (131072 + _HEADER_BYTES)


class PduStream:
    """Cuts the bytes of a connection into PDUs; a length is checked before memory is taken for it.

    Parameters
    ----------
    maximum_bytes : length of a P-DATA-TF that we advertised
    """

    def __init__(self, maximum_bytes: int) -> None:
        self._longest = max(_LONGEST_BYTES, maximum_bytes) + _HEADER_BYTES
        self._bytes = bytearray(_BUFFER_BYTES)
        self._start = self._end = 0

    def fill(self, connection: socket.socket) -> bool:
        """Receive once what there is; False if the peer has closed. Ends the life of PDUs given out before."""
        view, rest = memoryview(self._bytes), self._end - self._start
        view[:rest] = view[self._start : self._end]
        self._start, self._end = 0, rest
        if rest == len(view):
            self._bytes = self._bytes + bytes(self._longest - rest)
        count = connection.recv_into(memoryview(self._bytes)[rest:])
        acknowledge_at_once(connection)
        self._end += count
        return count > 0

    def next(self) -> memoryview | None:
        """The next PDU with its header, valid until `fill`; None if it has not wholly arrived. Raises PduInvalid."""
        have = self._end - self._start
        if have < _HEADER_BYTES:
            return None
        kind, length = struct.unpack_from(">BxI", self._bytes, self._start)
        length += _HEADER_BYTES
        if kind not in PDU_TYPES or length > self._longest:
            raise PduInvalid
        if have < length:
            return None
        self._start += length
        return memoryview(self._bytes)[self._start - length : self._start]

    def drop(self) -> None:
        """Forget what has been received."""
        self._start = self._end = 0

    def close(self) -> None:
        """Give the memory back."""
        self.drop()
        self._bytes = bytearray()


def fragments(pdu: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Presentation context, message control header and bytes of every fragment in a P-DATA-TF; raises PduInvalid."""
    at, end = _HEADER_BYTES, len(pdu)
    if at == end:  # PS3.8 section 9.3.5: one or more fragments
        raise PduInvalid
    while at < end:
        if at + 6 > end:
            raise PduInvalid
        length, context_id, control = struct.unpack_from(">IBB", pdu, at)
        after = at + 4 + length
        if length < 2 or after > end:
            raise PduInvalid
        yield context_id, control, pdu[at + 6 : after]
        at = after


def p_data(context_id: int, control: int, message: bytes | memoryview, maximum_bytes: int) -> Iterator[bytes]:
    """P-DATA-TF PDUs that carry the message, one fragment each.

    Parameters
    ----------
    control : `COMMAND` or 0; `LAST` is set on the last fragment
    maximum_bytes : what the receiver advertised; 0 means no limit
    """
    room = max(maximum_bytes - 6, 1) if maximum_bytes else 131072
    for start in range(0, max(len(message), 1), room):
        part = message[start : start + room]
        last = LAST if start + room >= len(message) else 0
        head = struct.pack(">BxIIBB", P_DATA, len(part) + 6, len(part) + 2, context_id, control | last)
        yield head + part


def send_at_once(connection: socket.socket) -> None:
    """Send small PDUs without waiting for the peer's acknowledgement of earlier ones (Nagle's algorithm off)."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def acknowledge_at_once(connection: socket.socket) -> None:
    """Do not delay the acknowledgement of what was received; holds until the next receive only (tcp(7)).

    A peer that leaves Nagle's algorithm on waits for it before it sends the rest of its instance: 44 ms each time.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
