"""Promise 3: whatever bytes come, each peer is answered or closed, and the process that receives goes on."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from socket import create_connection

import pytest

from pacs_node.dimse import command
from pacs_node.dimse.pdu import COMMAND, LAST, p_data
from tests.support.instances import an_instance, encoded
from tests.support.nodes import eventually
from tests.support.serving import ServingNode, serving_node
from tests.support.wire import (
    ABORT,
    APPLICATION_CONTEXT,
    RELEASE,
    USER_INFORMATION,
    Wire,
    a_context,
    a_request_of,
    an_association_request,
    an_item,
    answer_to,
)

CT, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CONTEXTS = ((CT, EXPLICIT), (VERIFICATION, IMPLICIT))
ACCEPTED, REJECTED, ABORTED, CLOSED = 2, 3, 7, None
GOOD = a_context(1, CT, EXPLICIT)
PACKETS = 2000
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingNode]:
    """One node for all of it; at the end it holds no more threads and descriptors than at the beginning."""
    with serving_node(tmp_path_factory.mktemp("node")) as running:
        with Wire(running.peer) as wire:
            wire.send(*wire.store(an_instance(), encoded(an_instance())))
            wire.receive()
        eventually(lambda: not running.connections())
        threads, descriptors = running.process.num_threads(), running.descriptors()
        yield running
        eventually(lambda: not running.connections())
        eventually(lambda: running.process.num_threads() <= threads)
        eventually(lambda: running.descriptors() <= descriptors)
        assert running.drafts() == []
        assert "Traceback" not in running.log.read_text()


def requested(*contexts: bytes) -> bytes:
    """A request with these presentation contexts."""
    return a_request_of(APPLICATION_CONTEXT, *contexts, USER_INFORMATION)


def cut(request: bytes, count: int) -> bytes:
    """Without its last bytes, its length put right: what is inside breaks off."""
    return request[:2] + struct.pack(">I", len(request) - 6 - count) + request[6:-count]


HANDSHAKES: dict[str, tuple[bytes, int | None]] = {
    "128 contexts": (requested(*[a_context(n, CT, EXPLICIT) for n in range(1, 257, 2)]), ACCEPTED),
    "no context": (requested(), REJECTED),
    "no transfer syntax": (requested(a_context(1, CT)), REJECTED),
    "no transfer syntax beside a good one": (requested(a_context(1, CT), a_context(3, CT, EXPLICIT)), ACCEPTED),
    "no abstract syntax": (requested(a_context(1, "", EXPLICIT)), REJECTED),
    "no abstract syntax beside a good one": (
        requested(a_context(1, "", EXPLICIT), a_context(3, CT, EXPLICIT)),
        ACCEPTED,
    ),
    "an empty context": (requested(an_item(0x20, b"")), ABORTED),
    "an even number": (requested(a_context(2, CT, EXPLICIT)), ABORTED),
    "number 0": (requested(a_context(0, CT, EXPLICIT)), ABORTED),
    "the same number twice": (requested(GOOD, a_context(1, VERIFICATION, IMPLICIT)), ACCEPTED),
    "129 contexts": (requested(*[a_context(n % 256 | 1, CT, EXPLICIT) for n in range(1, 259, 2)]), ACCEPTED),
    "a context longer than the PDU": (requested(GOOD[:2] + b"\xff\xff" + GOOD[4:]), ABORTED),
    "a transfer syntax longer than its context": (requested(GOOD[:-22] + b"\xff\xff" + GOOD[-20:]), ABORTED),
    "an unknown item": (requested(GOOD, an_item(0x77, b"x")), ABORTED),
    "an abstract syntax of 300 characters": (requested(a_context(1, "1." * 150, EXPLICIT)), ABORTED),
    "an abstract syntax that is no UID": (requested(a_context(1, "../../etc/passwd", EXPLICIT)), ACCEPTED),
    "no user information": (a_request_of(APPLICATION_CONTEXT, GOOD), ACCEPTED),
    "an empty user information": (a_request_of(APPLICATION_CONTEXT, GOOD, an_item(0x50, b"")), ACCEPTED),
    "a maximum length of one byte": (
        a_request_of(APPLICATION_CONTEXT, GOOD, an_item(0x50, an_item(0x51, b"\x01"))),
        ABORTED,
    ),
    "no application context": (a_request_of(GOOD, USER_INFORMATION), ACCEPTED),
    "protocol version 2": (a_request_of(APPLICATION_CONTEXT, GOOD, USER_INFORMATION, version=2), REJECTED),
    "no calling AE title": (a_request_of(APPLICATION_CONTEXT, GOOD, USER_INFORMATION, calling=" " * 16), ABORTED),
    "a calling AE title of zeros": (
        a_request_of(APPLICATION_CONTEXT, GOOD, USER_INFORMATION, calling=bytes(16)),
        ABORTED,
    ),
    "a calling AE title beyond ASCII": (
        a_request_of(APPLICATION_CONTEXT, GOOD, USER_INFORMATION, calling=b"\xff" * 16),
        ABORTED,
    ),
    "nothing in the request": (struct.pack(">BxI", 1, 0), ABORTED),
    "a request that breaks off": (cut(requested(GOOD), 30), ABORTED),
    "a mebibyte of empty items": (a_request_of(an_item(0x20, b"") * (MEBIBYTE // 4 - 30)), ABORTED),
    "a gibibyte": (struct.pack(">BxI", 1, 1 << 30) + bytes(MEBIBYTE), ABORTED),
    "data first": (struct.pack(">BxIIBB", 4, 8, 4, 1, 3) + b"ab", ABORTED),
    "a release first": (RELEASE, ABORTED),
    "an abort first": (ABORT, CLOSED),
    "a type that does not exist": (b"\x00" + bytes(9), ABORTED),
    "a web browser": (b"GET / HTTP/1.1\r\nHost: node\r\n\r\n", ABORTED),
    "TLS": (bytes.fromhex("16030100a5010000a10303") + bytes(150), ABORTED),
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_malformed_handshake_is_answered_or_closed(node: ServingNode, name: str) -> None:
    sent, answer = HANDSHAKES[name]
    with create_connection(("127.0.0.1", node.port)) as connection:
        with suppress(ConnectionError):
            connection.sendall(sent)
        assert answer_to(connection) == answer
    assert node.echo_s() < 10


def a_command(without: int | None = None, **changed: int | str) -> bytes:
    """A C-STORE-RQ, element by element; values replace those of the same name."""
    values: dict[str, int | str] = {
        "AFFECTED_SOP_CLASS_UID": CT,
        "COMMAND_FIELD": command.C_STORE_REQUEST,
        "MESSAGE_ID": 1,
        "PRIORITY": 0,
        "DATA_SET_TYPE": 0,
        "AFFECTED_SOP_INSTANCE_UID": "1.2.3",
        **changed,
    }
    elements = {getattr(command, name): value for name, value in values.items()}
    return b"".join(
        struct.pack("<HHI", 0, element, len(content)) + content
        for element, value in sorted(elements.items())
        if element != without
        for content in [
            struct.pack("<H", value) if isinstance(value, int) else value.encode() + b"\0" * (len(value) % 2)
        ]
    )


def message(encoded_command: bytes, dataset: bytes | None = b"dataset", context_id: int = 1) -> bytes:
    """The PDUs of a message."""
    pdus = list(p_data(context_id, COMMAND, encoded_command, 16384))
    return b"".join([*pdus, *(p_data(context_id, 0, dataset, 16384) if dataset is not None else [])])


def fragment(content: bytes, control: int, context_id: int = 1, length: int | None = None) -> bytes:
    """A P-DATA-TF with one fragment whose length may lie."""
    stated = len(content) + 2 if length is None else length
    body = struct.pack(">IBB", stated, context_id, control) + content
    return struct.pack(">BxI", 4, len(body)) + body


ECHO = command.echo_request(1, VERIFICATION)
NO_DATA = command.NO_DATA_SET
ANSWERED = 4
MESSAGES: dict[str, tuple[bytes, int | None]] = {
    "an empty instance UID": (message(a_command(AFFECTED_SOP_INSTANCE_UID="")), ANSWERED),
    "no instance UID": (message(a_command(command.AFFECTED_SOP_INSTANCE_UID)), ANSWERED),
    "an instance UID that is a path": (message(a_command(AFFECTED_SOP_INSTANCE_UID="../../../etc/passwd")), ANSWERED),
    "an instance UID of 65 characters": (message(a_command(AFFECTED_SOP_INSTANCE_UID="1." * 32 + "1")), ANSWERED),
    "an empty class UID": (message(a_command(AFFECTED_SOP_CLASS_UID="")), ANSWERED),
    "no class UID": (message(a_command(command.AFFECTED_SOP_CLASS_UID)), ANSWERED),
    "no message ID": (message(a_command(command.MESSAGE_ID)), ANSWERED),
    "an empty dataset": (message(a_command(), b""), ANSWERED),
    "a store without a dataset": (message(a_command(DATA_SET_TYPE=NO_DATA), None), ANSWERED),
    "a store for verification": (message(a_command(), context_id=3), ANSWERED),
    "no command field": (message(a_command(command.COMMAND_FIELD), None), ABORTED),
    "a command that does not exist": (message(a_command(COMMAND_FIELD=0x9999, DATA_SET_TYPE=NO_DATA), None), ABORTED),
    "a response nobody waits for": (message(a_command(COMMAND_FIELD=0x8030, DATA_SET_TYPE=NO_DATA), None, 3), ABORTED),
    "an echo with a dataset": (
        message(a_command(COMMAND_FIELD=0x0030, AFFECTED_SOP_CLASS_UID=VERIFICATION), b"x", 3),
        ANSWERED,
    ),
    "an echo without a class": (
        message(a_command(command.AFFECTED_SOP_CLASS_UID, COMMAND_FIELD=0x0030, DATA_SET_TYPE=NO_DATA), None, 3),
        ABORTED,
    ),
    "a query for CT": (message(a_command(COMMAND_FIELD=0x0020)), ABORTED),
    "an action on CT": (message(a_command(COMMAND_FIELD=0x0130)), ABORTED),
    "a dataset of 100 KiB that stays in memory": (message(a_command(COMMAND_FIELD=0x0020), bytes(100 << 10)), ABORTED),
    "an empty command": (fragment(b"", COMMAND | LAST), ABORTED),
    "a command that breaks off": (fragment(a_command()[:-3], COMMAND | LAST), ABORTED),
    "a command that is none": (fragment(b"\xff" * 40, COMMAND | LAST), ABORTED),
    "a dataset first": (fragment(b"dataset", LAST), ABORTED),
    "a context that was not accepted": (message(ECHO, None, context_id=99), ABORTED),
    "no fragment": (struct.pack(">BxI", 4, 0), ABORTED),
    "half a fragment": (struct.pack(">BxI", 4, 4) + b"\0\0\0\x09", ABORTED),
    "a fragment longer than its PDU": (fragment(b"ab", LAST, length=9), ABORTED),
    "a fragment of 4 GiB": (fragment(b"ab", LAST, length=0xFFFFFFFF), ABORTED),
    "a fragment without a header": (fragment(b"", 0, length=0), ABORTED),
    "a command in a dataset": (fragment(a_command(), COMMAND | LAST) + fragment(a_command(), COMMAND | LAST), ABORTED),
    "a dataset on another context": (fragment(a_command(), COMMAND | LAST) + fragment(b"x", LAST, 3), ABORTED),
    "a second request": (an_association_request(), ABORTED),
    "a release response": (b"\x06" + RELEASE[1:], ABORTED),
    "a PDU beyond the limit": (struct.pack(">BxI", 4, MEBIBYTE + 1), ABORTED),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_malformed_message_is_answered_or_closed(node: ServingNode, name: str) -> None:
    sent, answer = MESSAGES[name]
    with Wire(node.peer, contexts=CONTEXTS) as wire:
        wire.send(sent)
        assert answer_to(wire.socket) == answer
    assert node.echo_s() < 10


def test_the_process_lives_through_seeded_packets(node: ServingNode) -> None:
    """Two thousand: garbage, damaged requests, and damaged C-STOREs behind a good request, from four peers at once."""
    numbers, lock = iter(range(PACKETS)), threading.Lock()

    def send() -> int:
        count = 0
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return count
            random = Random(20261121 + number)
            with create_connection(("127.0.0.1", node.port)) as connection, suppress(ConnectionError):
                connection.sendall(_packet(random))
                connection.settimeout(0.002)
                with suppress(TimeoutError):
                    connection.recv(16)
            count += 1

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: send(), range(4))) == PACKETS
    assert node.echo_s() < 10
    assert {line.get("code") for line in node.events("association_ended")} == {None, "pdu.invalid"}


def _packet(random: Random) -> bytes:
    kind = random.randrange(4)
    if kind == 0:
        return random.randbytes(random.randrange(1, 400))
    dataset = an_instance("1.2.826.0.1.77.99")
    store = command.store_request(1, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
    request = an_association_request(contexts=CONTEXTS)
    rest = b"".join([*p_data(1, COMMAND, store, 200), *p_data(1, 0, encoded(dataset), 200), RELEASE])
    damaged = request if kind == 1 else rest
    return damage(random, damaged) if kind == 1 else request + damage(random, damaged)


def damage(random: Random, content: bytes) -> bytes:
    """A few bytes changed, left out, doubled or inserted."""
    damaged = bytearray(content)
    for _ in range(random.randrange(1, 8)):
        at = random.randrange(len(damaged))
        choice = random.randrange(4)
        if choice == 0:
            damaged[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        elif choice == 1:
            del damaged[at : at + random.randrange(1, 20)]
        elif choice == 2:
            damaged[at:at] = damaged[at : at + random.randrange(1, 20)]
        else:
            damaged[at:at] = random.randbytes(random.randrange(1, 8))
        damaged = damaged or bytearray(b"\0")
    return bytes(damaged)
