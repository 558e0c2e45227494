"""What is sent to a peer, seen without an association."""

from __future__ import annotations

import queue
import socket
from types import SimpleNamespace

from pacs_node.dimse.provider import _Socket


def test_a_peer_that_reads_nothing_is_waited_for_once_and_its_connection_is_closed() -> None:
    ours, theirs = socket.socketpair()
    events: queue.Queue[str] = queue.Queue()
    connection = object.__new__(_Socket)
    connection._assoc = SimpleNamespace(dul=SimpleNamespace(event_queue=events))
    connection.socket = ours
    with ours, theirs:
        ours.settimeout(0.1)
        for _ in range(3):
            connection.send(bytes(10_000_000))
    assert list(events.queue) == ["Evt17"]
