"""What the threads of an association wait at: they sleep until there is something to do. Called from `provider`."""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

from pacs_node.dimse.secure import SecureSocket


class Checkpoint:
    """The event at which the library's association thread stops before each turn; here it also waits to be rung.

    Parameters
    ----------
    turn_s : it waits no longer
    """

    def __init__(self, turn_s: float) -> None:
        self._turn_s = turn_s
        self._is_open = threading.Event()
        self._is_open.set()
        self._rings = threading.Semaphore(0)

    def ring(self) -> None:
        """Let the thread make one turn more."""
        self._rings.release()

    def set(self) -> None:
        """Open it."""
        self._is_open.set()
        self._rings.release()

    def clear(self) -> None:
        """Close it: the thread stops here."""
        self._is_open.clear()

    def wait(self) -> None:
        """Wait to be rung, and until it is open."""
        self._rings.acquire(timeout=self._turn_s)
        self._is_open.wait()


class RingingQueue(queue.Queue[Any]):
    """A queue that rings when something is put into it."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring_bell = ring

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """As any queue."""
        super().put(item, block, timeout)
        self._ring_bell()


class Alarm:
    """Wakes the thread that waits for the peer when the own side has something to send."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._watched = -1

    def ring(self) -> None:
        """End the waiting, or the next if nobody waits; from any thread."""
        with self._lock:  # the number of a closed descriptor may be somebody else's file already
            if self._descriptor >= 0:
                os.eventfd_write(self._descriptor, 1)

    def wait_for(self, connection: socket.socket | None, timeout_s: float) -> bool:
        """Whether the connection has something to read; returns early when rung."""
        if isinstance(connection, SecureSocket) and connection.pending():
            return True  # decrypted already, so there is nothing to be seen at the socket
        self._watch(-1 if connection is None else connection.fileno())
        ready = [descriptor for descriptor, _ in self._poll.poll(timeout_s * 1000)]
        if self._descriptor in ready:
            os.eventfd_read(self._descriptor)
            ready.remove(self._descriptor)
        return bool(ready)

    def _watch(self, descriptor: int) -> None:
        """Watch this connection, and no other; -1 is none."""
        if descriptor == self._watched:
            return
        if self._watched >= 0:
            self._poll.unregister(self._watched)
        if descriptor >= 0:
            self._poll.register(descriptor, select.POLLIN)
        self._watched = descriptor

    def close(self) -> None:
        """Give the descriptor back; whoever rings later rings nothing."""
        with self._lock:
            os.close(self._descriptor)
            self._descriptor = -1
