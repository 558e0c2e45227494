"""Broken and hostile peers: everything they hold is given back, and nothing of it takes the node down."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
import pytest

from pacs_node.dimse import command, scu
from pacs_node.dimse.pdu import COMMAND, p_data
from pacs_node.domain.patience import Patience
from tests.support.instances import an_instance, encoded
from tests.support.nodes import eventually
from tests.support.peers import ReceivingNode, receiving_node
from tests.support.wire import RELEASE, Wire, an_association_request, closes_after

MEBIBYTE = 1 << 20


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ReceivingNode]:
    """A node that receives from everybody."""
    with receiving_node(tmp_path / "archive") as running:
        yield running


def has_nothing_open(node: ReceivingNode) -> bool:
    """Whether no association is left, nor its socket."""
    return node.server.association_count == 0 and not node.sockets()


@pytest.mark.parametrize(
    "end", [Wire.abort, lambda wire: wire.socket.close(), Wire.reset], ids=["abort", "close", "reset"]
)
def test_a_transfer_that_is_cut_leaves_no_file_and_no_socket(node: ReceivingNode, end: Callable[[Wire], None]) -> None:
    dataset = an_instance(PixelData=bytes(MEBIBYTE))
    with Wire(node.peer) as wire:
        pdus = wire.store(dataset, encoded(dataset))
        wire.send(*pdus[:30])
        eventually(node.files, timeout_s=10)
        end(wire)
        eventually(lambda: node.server.association_count == 0, timeout_s=10)
    eventually(lambda: has_nothing_open(node), timeout_s=10)
    assert (node.files(), node.receipts) == ([], [])
    assert [values["outcome"] for name, values in node.events if name == "association_ended"] == ["aborted"]


def test_a_release_in_the_middle_of_a_dataset_stores_nothing(node: ReceivingNode) -> None:
    dataset = an_instance(PixelData=bytes(MEBIBYTE))
    with Wire(node.peer) as wire:
        wire.send(*wire.store(dataset, encoded(dataset))[:30], RELEASE)
        assert wire.receive()[0] == 6
    eventually(lambda: has_nothing_open(node), timeout_s=10)
    assert node.files() == []


def test_what_is_being_received_is_finished_before_the_node_stops(tmp_path: Path) -> None:
    dataset = an_instance(PixelData=bytes(MEBIBYTE))
    with receiving_node(tmp_path) as node, Wire(node.peer) as wire:
        pdus = wire.store(dataset, encoded(dataset))
        wire.send(*pdus[:30])
        eventually(node.files, timeout_s=10)
        stopping = threading.Thread(target=node.server.stop)
        stopping.start()
        wire.send(*pdus[30:])
        assert wire.status() == 0
        assert wire.receive()[0] == 7
        stopping.join()
        assert node.stored(dataset.SOPInstanceUID) == encoded(dataset)
        with pytest.raises(ConnectionRefusedError):
            Wire(node.peer)


def test_threads_and_descriptors_come_back_after_all_kinds_of_connections(node: ReceivingNode) -> None:
    process = psutil.Process()
    with Wire(node.peer) as wire:
        wire.send(*wire.store(an_instance(), bytes(40000))[:2])
        eventually(node.files, timeout_s=10)
    eventually(lambda: has_nothing_open(node), timeout_s=10)
    descriptors, threads = process.num_fds(), threading.active_count()
    for number in range(30):
        with socket.create_connection(("127.0.0.1", node.server.port)) as probe:
            probe.sendall([b"", b"GET / HTTP/1.1\r\n\r\n", an_association_request()][number % 3])
        with Wire(node.peer) as wire:
            wire.send(*wire.store(an_instance(), bytes(40000))[:2])
            if number % 3:
                (Wire.abort if number % 3 == 1 else Wire.reset)(wire)
    eventually(lambda: has_nothing_open(node), timeout_s=20)
    eventually(lambda: threading.active_count() <= threads, timeout_s=10)
    assert process.num_fds() <= descriptors
    assert node.files() == []


@pytest.mark.parametrize("beginning", [b"", b"\x01\x00\x00", an_association_request()[:80]])
def test_a_handshake_that_does_not_end_is_closed(tmp_path: Path, beginning: bytes) -> None:
    with receiving_node(tmp_path, patience=Patience(handshake_s=0.5)) as node:
        with socket.create_connection(("127.0.0.1", node.server.port)) as connection:
            connection.sendall(beginning)
            assert closes_after(connection, 10) < 5
        eventually(lambda: has_nothing_open(node), timeout_s=10)


def test_a_handshake_that_drips_is_closed(tmp_path: Path) -> None:
    with receiving_node(tmp_path, patience=Patience(handshake_s=0.5)) as node:
        with socket.create_connection(("127.0.0.1", node.server.port)) as connection:
            started_s = time.monotonic()
            with pytest.raises(ConnectionError):
                for byte in an_association_request():
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)
            assert time.monotonic() - started_s < 8
        eventually(lambda: has_nothing_open(node), timeout_s=10)


@pytest.mark.parametrize("last", [b"", b"\x04\x00\x00", b"\x04\x00\x00\x00\x10\x00ab"])
def test_a_store_that_stalls_is_closed_and_forgotten(tmp_path: Path, last: bytes) -> None:
    with receiving_node(tmp_path, patience=Patience(idle_s=0.5)) as node:
        with Wire(node.peer) as wire:
            wire.send(*wire.store(an_instance(), bytes(40000))[:2], last)
            assert closes_after(wire.socket, 10) < 6
        eventually(lambda: has_nothing_open(node), timeout_s=10)
        assert node.files() == []


def test_a_pdu_that_drips_is_closed(tmp_path: Path) -> None:
    with receiving_node(tmp_path, patience=Patience(idle_s=0.5)) as node, Wire(node.peer) as wire:
        wire.send(struct.pack(">BxI", 4, 16000))
        started_s = time.monotonic()
        with pytest.raises(ConnectionError):
            for _ in range(200):
                wire.send(b"x")
                time.sleep(0.05)
        assert time.monotonic() - started_s < 8


class Seconds:
    """A clock that tests move on."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now_s

    def await_look(self) -> None:
        """Wait until the only connection that there is has seen the time and what came until now."""
        looks = self.looks
        eventually(lambda: self.looks >= looks + 2, timeout_s=10, every_s=0.01)


@pytest.fixture
def seconds() -> Seconds:
    """The clock of the watchdogs."""
    return Seconds()


@pytest.fixture
def timed(tmp_path: Path, seconds: Seconds) -> Iterator[ReceivingNode]:
    """A node with the limits that are promised, and a clock of its own."""
    with receiving_node(tmp_path / "archive", clock=seconds) as running:
        yield running


def outcomes(node: ReceivingNode) -> list[tuple[object, object]]:
    """Outcome and code of every association that has ended."""
    return [(values["outcome"], values.get("code")) for name, values in node.events if name == "association_ended"]


def has_received(node: ReceivingNode, count: int) -> bool:
    """Whether the lane of the only association has taken so much content."""
    [association] = node.server._listener.ae.active_associations
    return bool(association.lane.received_bytes >= count)


def test_a_handshake_that_drips_is_over_after_thirty_seconds(timed: ReceivingNode, seconds: Seconds) -> None:
    request = an_association_request()
    with socket.create_connection(("127.0.0.1", timed.server.port)) as connection:
        seconds.await_look()
        for at in range(24):
            connection.sendall(request[at : at + 1])
            seconds.now_s += 1
        seconds.await_look()
        assert outcomes(timed) == []
        seconds.now_s += 6
        assert closes_after(connection, 10) < 10
    eventually(lambda: has_nothing_open(timed), timeout_s=10)
    assert outcomes(timed) == [("never accepted", "association.stalled")]


def test_a_handshake_that_takes_its_time_is_accepted(timed: ReceivingNode, seconds: Seconds) -> None:
    request = an_association_request()
    with socket.create_connection(("127.0.0.1", timed.server.port)) as connection:
        connection.sendall(request[:50])
        seconds.await_look()
        seconds.now_s += 24
        seconds.await_look()
        connection.sendall(request[50:])
        assert connection.recv(1) == b"\x02"


WHOLE = b"\x04\0\0\0\0"


def dripping(control: int, content: bytes = b"x") -> bytes:
    """A whole P-DATA-TF with next to nothing in it."""
    return struct.pack(">BxIIBB", 4, len(content) + 6, len(content) + 2, 1, control) + content


@pytest.mark.parametrize(
    ("first", "drip"),
    [(0, b""), (1, dripping(0)), (1, dripping(0, b"")), (0, dripping(COMMAND)), (1, b"\x04\0\0\0\x40\0" + bytes(30))],
    ids=["silence", "single bytes", "empty fragments", "a command that never ends", "a PDU that never ends"],
)
def test_an_association_on_which_nothing_completes_is_over_after_sixty_seconds(
    timed: ReceivingNode, seconds: Seconds, first: int, drip: bytes
) -> None:
    dataset = an_instance()
    with Wire(timed.peer) as wire:
        wire.send(*wire.store(dataset, encoded(dataset))[:first])
        eventually(lambda: has_received(timed, first), timeout_s=10)
        seconds.await_look()
        for second in range(54):
            wire.send(drip if second == 0 or drip.startswith(WHOLE) else b"")
            seconds.now_s += 1
        seconds.await_look()
        assert outcomes(timed) == []
        seconds.now_s += 6
        assert wire.receive()[0] == 7
    eventually(lambda: has_nothing_open(timed), timeout_s=10)
    assert outcomes(timed) == [("aborted", "association.stalled")]
    assert timed.files() == []


def test_a_large_instance_over_a_slow_link_is_stored(timed: ReceivingNode, seconds: Seconds) -> None:
    """64 KiB every ten seconds, a kibibyte less than 6.5 kB/s: 160 s for a mebibyte."""
    dataset = an_instance(PixelData=bytes(MEBIBYTE))
    with Wire(timed.peer) as wire:
        pdus = wire.store(dataset, encoded(dataset))
        received = 0
        for at in range(0, len(pdus), 4):
            wire.send(*pdus[at : at + 4])
            received += sum(len(pdu) - 12 for pdu in pdus[at : at + 4])
            eventually(lambda count=received: has_received(timed, count), timeout_s=10, every_s=0.01)
            seconds.now_s += 10
        assert wire.status() == 0
    assert timed.stored(dataset.SOPInstanceUID) == encoded(dataset)


def test_whole_messages_keep_an_association_open(timed: ReceivingNode, seconds: Seconds) -> None:
    dataset = an_instance()
    with Wire(timed.peer) as wire:
        for _ in range(2):
            wire.send(*wire.store(dataset, encoded(dataset)))
            assert wire.status() == 0
            seconds.await_look()
            seconds.now_s += 50
            seconds.await_look()


def test_an_error_in_the_thread_that_negotiates_closes_the_connection(node: ReceivingNode) -> None:
    """As any fault of the library, or ours, would; here its list of AE titles is broken."""
    node.server._listener.ae._require_calling_aet = [None]
    with socket.create_connection(("127.0.0.1", node.server.port)) as connection:
        connection.sendall(an_association_request())
        assert closes_after(connection, 10) < 10
    eventually(lambda: has_nothing_open(node), timeout_s=10)
    assert outcomes(node) == [("never accepted", "node.unexpected")]


def test_echo_is_answered_while_fifty_hostile_connections_are_open(node: ReceivingNode) -> None:
    hostile = [socket.create_connection(("127.0.0.1", node.server.port)) for _ in range(50)]
    for number, connection in enumerate(hostile):
        connection.sendall(an_association_request()[: 3 * number])
    assert scu.echo(node.peer, calling_ae_title="CT1").seconds < 10
    for connection in hostile:
        connection.close()


def test_a_pdu_of_a_gibibyte_is_aborted_before_it_takes_memory(node: ReceivingNode) -> None:
    before = psutil.Process().memory_info().rss
    with Wire(node.peer) as wire:
        with suppress(ConnectionError):
            wire.send(struct.pack(">BxI", 4, 1 << 30), *[bytes(MEBIBYTE)] * 20)
        closes_after(wire.socket, 10)
    assert psutil.Process().memory_info().rss - before < 50 * MEBIBYTE


@pytest.mark.parametrize(
    "pdu",
    [
        struct.pack(">BxI", 4, 4) + b"\0\0\0\x09",
        struct.pack(">BxIIBB", 4, 8, 4, 1, 2) + b"ab",
        struct.pack(">BxIIBB", 4, 8, 4, 99, 3) + b"ab",
        struct.pack(">BxIIBB", 4, 8, 4, 1, 3) + b"ab",
        an_association_request(),
        b"\x63" + bytes(20),
    ],
    ids=["fragment too long", "dataset first", "no such context", "no command", "second request", "no PDU"],
)
def test_a_peer_that_breaks_the_protocol_is_aborted(node: ReceivingNode, pdu: bytes) -> None:
    with Wire(node.peer) as wire:
        wire.send(pdu)
        assert wire.receive()[0] == 7
        assert closes_after(wire.socket, 10) < 5
    eventually(lambda: has_nothing_open(node), timeout_s=10)


def test_the_node_lives_through_seeded_garbage(node: ReceivingNode) -> None:
    random = Random(20261121)
    for number in range(200):
        packet = bytearray(an_association_request() if number % 2 else random.randbytes(random.randrange(1, 200)))
        for _ in range(random.randrange(6)):
            packet[random.randrange(len(packet))] = random.randrange(256)
        packet += struct.pack(">BxI", 4, 40) + random.randbytes(40)
        with socket.create_connection(("127.0.0.1", node.server.port)) as connection, suppress(ConnectionError):
            connection.sendall(packet)
    assert scu.echo(node.peer, calling_ae_title="CT1").seconds < 10
    eventually(lambda: has_nothing_open(node), timeout_s=60)
    assert node.files() == []


def test_the_node_lives_through_garbage_on_an_association(node: ReceivingNode) -> None:
    random = Random(20261122)
    for _ in range(100):
        dataset = an_instance()
        pdus = [bytearray(pdu) for pdu in Wire.store(None, dataset, encoded(dataset))]  # type: ignore[arg-type]
        for _ in range(random.randrange(1, 6)):
            pdu = random.choice(pdus)
            pdu[random.randrange(len(pdu))] = random.randrange(256)
        with Wire(node.peer) as wire, suppress(ConnectionError):
            wire.send(*map(bytes, pdus))
    assert scu.echo(node.peer, calling_ae_title="CT1").seconds < 10
    eventually(lambda: has_nothing_open(node), timeout_s=60)


def test_a_flood_of_echoes_waits_in_the_socket(node: ReceivingNode) -> None:
    """A peer that asks without reading the answers must not fill the memory of the node."""
    echo = command.echo_request(1, "1.2.840.10008.1.1")
    pdu = next(p_data(1, COMMAND, echo, 16384))
    with Wire(node.peer, contexts=[("1.2.840.10008.1.1", "1.2.840.10008.1.2")]) as wire:
        wire.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(1000):
                wire.send(pdu * 1000)
        [association] = node.server._listener.ae.active_associations
        assert association.dimse.msg_queue.qsize() < 5000
        wire.reset()
    eventually(lambda: has_nothing_open(node), timeout_s=20)
