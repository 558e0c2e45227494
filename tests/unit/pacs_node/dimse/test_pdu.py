"""PDUs are cut out of any stream of bytes, and never longer than allowed."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_node.dimse.pdu import COMMAND, LAST, PduStream, fragments, p_data
from pacs_node.errors import PduInvalid

MEBIBYTE = 1 << 20


def a_pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BxI", kind, len(body) if length is None else length) + body


class FakeConnection:
    """Gives out bytes in the pieces that the test wants."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def recv_into(self, view: memoryview) -> int:
        if not self.pieces:
            return 0
        piece = self.pieces.pop(0)
        if len(piece) > len(view):
            self.pieces.insert(0, piece[len(view) :])
        count = min(len(piece), len(view))
        view[:count] = piece[:count]
        return count

    def setsockopt(self, *option: int) -> None:
        assert option == (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def cut(stream: PduStream, connection: FakeConnection) -> list[bytes]:
    """All PDUs until the connection ends."""
    found = []
    while True:
        while (pdu := stream.next()) is not None:
            found.append(bytes(pdu))
        if not stream.fill(connection):  # type: ignore[arg-type]
            return found


@given(bodies=st.lists(st.binary(max_size=400), max_size=20), size=st.integers(1, 97))
def test_pdus_are_the_same_however_their_bytes_arrive(bodies: list[bytes], size: int) -> None:
    pdus = [a_pdu(4, body) for body in bodies]
    whole = b"".join(pdus)
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    assert cut(PduStream(4096), FakeConnection(*pieces)) == pdus


def test_a_pdu_of_a_mebibyte_is_taken_whatever_was_advertised() -> None:
    pdu = a_pdu(4, bytes(MEBIBYTE))
    assert cut(PduStream(4096), FakeConnection(pdu[:1000], pdu[1000:])) == [pdu]


def test_a_pdu_as_long_as_advertised_is_taken() -> None:
    pdu = a_pdu(4, bytes(3 * MEBIBYTE))
    assert cut(PduStream(3 * MEBIBYTE), FakeConnection(pdu)) == [pdu]


@pytest.mark.parametrize("length", [MEBIBYTE + 1, 0xFFFFFFFF])
def test_a_length_beyond_the_limit_is_refused_before_its_bytes_arrive(length: int) -> None:
    stream = PduStream(131072)
    stream.fill(FakeConnection(a_pdu(4, b"", length)))  # type: ignore[arg-type]
    with pytest.raises(PduInvalid):
        stream.next()


@pytest.mark.parametrize("kind", [0, 8, 255, ord("G")])
def test_bytes_that_are_no_pdu_are_refused(kind: int) -> None:
    stream = PduStream(131072)
    stream.fill(FakeConnection(a_pdu(kind, b"", 4)))  # type: ignore[arg-type]
    with pytest.raises(PduInvalid):
        stream.next()


def test_dropped_bytes_are_forgotten() -> None:
    stream = PduStream(131072)
    connection = FakeConnection(b"\x09garbage", a_pdu(5, bytes(4)))
    stream.fill(connection)  # type: ignore[arg-type]
    stream.drop()
    assert cut(stream, connection) == [a_pdu(5, bytes(4))]


@given(message=st.binary(max_size=3000), maximum=st.integers(7, 500))
def test_fragments_put_together_again_are_the_message(message: bytes, maximum: int) -> None:
    pdus = list(p_data(3, COMMAND, message, maximum))
    pieces = [piece for pdu in pdus for piece in fragments(memoryview(pdu))]
    assert all(len(pdu) - 6 <= maximum for pdu in pdus)
    assert [context for context, _, _ in pieces] == [3] * len(pieces)
    assert [control for _, control, _ in pieces] == [COMMAND] * (len(pieces) - 1) + [COMMAND | LAST]
    assert b"".join(bytes(piece) for _, _, piece in pieces) == message


def test_an_unlimited_receiver_gets_pdus_of_ordinary_size() -> None:
    assert [len(pdu) - 12 for pdu in p_data(1, 0, bytes(300_000), 0)] == [131072, 131072, 37856]


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0\0", b"\0\0\0\x01\x01", b"\0\0\0\0\x01\x03", b"\0\0\0\x05\x01\x03ab", b"\xff\xff\xff\xff\x01\x03ab"],
    ids=["nothing", "no length", "no header", "length 0", "too long", "much too long"],
)
def test_malformed_fragments_are_refused(body: bytes) -> None:
    with pytest.raises(PduInvalid):
        list(fragments(memoryview(a_pdu(4, body))))


@given(body=st.binary(max_size=300))
def test_any_p_data_gives_fragments_or_the_one_error(body: bytes) -> None:
    try:
        pieces = list(fragments(memoryview(a_pdu(4, body))))
    except PduInvalid:
        return
    assert sum(len(piece) + 6 for _, _, piece in pieces) == len(body)
