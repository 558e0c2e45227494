"""Promises 1, 3, 6 and 7 of a process that receives: many at once, long ones, duplicates, and nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import create_connection

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from pacs_node.dimse.requestor import Requestor
from tests.support.instances import an_instance, encoded, hash_of
from tests.support.nodes import eventually
from tests.support.peers import sent
from tests.support.serving import ServingNode, serving_node
from tests.support.wire import RELEASE, Wire, an_association_request

PROPOSED = [(str(CTImageStorage), [str(ExplicitVRLittleEndian)])]
KIBIBYTE = 1024


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingNode]:
    """One node that receives."""
    with serving_node(tmp_path_factory.mktemp("node")) as running:
        yield running


def test_sixty_four_associations_are_served_beside_fifty_hostile_connections(node: ServingNode) -> None:
    before = len(node.stored())
    together = threading.Barrier(65, timeout=60)

    def store(dataset: Dataset) -> int | None:
        with Requestor(node.peer, "CT1", PROPOSED, 60) as association:
            together.wait()
            status = sent(association, dataset)
            together.wait()
            return status

    with ExitStack() as stack:
        for number in range(50):
            connection = stack.enter_context(create_connection(("127.0.0.1", node.port)))
            connection.sendall([b"", b"\x01\x00\x00", b"\x04" * 3, an_association_request()[:-1]][number % 4])
        pool = stack.enter_context(ThreadPoolExecutor(64))
        statuses = [pool.submit(store, an_instance()) for _ in range(64)]
        together.wait()
        assert node.echo_s() < 10
        together.wait()
        assert [status.result() for status in statuses] == [0] * 64
    assert len(node.stored()) == before + 64


def test_other_content_under_a_known_uid_is_refused_kept_and_told(node: ServingNode) -> None:
    uid = "1.2.826.0.1.77.6"
    first, other = encoded(an_instance(uid)), encoded(an_instance(uid, Rows=9))
    before, known = node.stored(), len(node.events("instance_refused"))
    with Requestor(node.peer, "CT1", PROPOSED, 60) as association:
        statuses = [sent(association, an_instance(uid), content) for content in (first, first, other, other, first)]
    assert statuses == [0, 0, 0x0111, 0x0111, 0]
    [stored] = set(node.stored()) - set(before)
    assert stored.read_bytes().endswith(first)
    hashes = [hash_of(content) for content in (first, other)]
    [aside] = (node.data / "conflicts").iterdir()
    assert aside.read_bytes().endswith(other)
    assert hashes[1].removeprefix("blake3:") in aside.name
    told = eventually(lambda: node.events("instance_refused")[known:])
    assert [[line["code"], line["stored_hash"], line["refused_hash"]] for line in told] == [
        ["instance.conflict", *hashes]
    ] * 2


def test_memory_threads_and_descriptors_do_not_grow_with_associations(node: ServingNode) -> None:
    """600 associations of all kinds, after as many to warm up: less than 8 KiB each, and nothing else stays."""
    _associate(node, 600)
    eventually(lambda: not node.connections())
    memory, threads, descriptors = _held(node)
    _associate(node, 600)
    eventually(lambda: not node.connections())
    eventually(lambda: _held(node)[1] <= threads)
    assert (_held(node)[0] - memory) / 600 < 8 * KIBIBYTE
    eventually(lambda: node.descriptors() <= descriptors)
    assert node.drafts() == []


def _held(node: ServingNode) -> tuple[int, int, int]:
    process = node.process
    return process.memory_info().rss, process.num_threads(), node.descriptors()


def _associate(node: ServingNode, count: int) -> None:
    """Probes of the port, released, aborted, reset and broken-off associations, in turn."""
    dataset = an_instance("1.2.826.0.1.77.7")
    for number in range(count):
        if number % 6 == 0:
            create_connection(("127.0.0.1", node.port)).close()
            continue
        with Wire(node.peer) as wire, suppress(ConnectionError):
            pdus = wire.store(dataset, encoded(dataset))
            wire.send(*(pdus[:1] if number % 6 == 1 else pdus))
            if number % 6 == 2:
                wire.abort()
            elif number % 6 == 3:
                wire.reset()
            elif number % 6 > 3:
                wire.status()
                wire.send(RELEASE)
                wire.receive()


def test_half_a_gigabyte_announced_is_not_taken(node: ServingNode, tmp_path: Path) -> None:
    """Lengths that lie, from many peers at once, cost no memory."""
    before = node.process.memory_info().rss
    with ExitStack() as stack:
        for _ in range(20):
            wire = stack.enter_context(Wire(node.peer))
            wire.send(b"\x04\x00" + (1 << 29).to_bytes(4, "big"))
        for _ in range(20):
            connection = stack.enter_context(create_connection(("127.0.0.1", node.port)))
            connection.sendall(b"\x01\x00" + (1 << 30).to_bytes(4, "big"))
        assert node.echo_s() < 10
        assert node.process.memory_info().rss - before < 50 * KIBIBYTE * KIBIBYTE
