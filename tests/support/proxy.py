"""A link to a server that tests cut, stall and mend: a TCP proxy on loopback.

with proxy("127.0.0.1", 5432) as link:
    link.cut()        # connections break, new ones are refused
    link.stall()      # connections stay, new ones are taken, and nothing passes
    link.mend()
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Link:
    """A way to a server; made by `proxy`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._passes = threading.Event()
        self._passes.set()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._start(self._listener)

    def cut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._close(self._listener)
        while self._open:
            self._close(self._open.pop())

    def stall(self) -> None:
        """Let nothing pass any more; nobody is told."""
        self._passes.clear()

    def mend(self) -> None:
        """Be a good way again."""
        self._passes.set()
        if self._listener.fileno() == -1:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._start(self._listener)

    def _start(self, listener: socket.socket) -> None:
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                self._passes.wait()
                sink.sendall(content)
        for end in (source, sink):
            self._close(end)

    def _close(self, end: socket.socket) -> None:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def proxy(host: str, port: int) -> Iterator[Link]:
    """Run one until the block ends."""
    link = Link(host, port)
    try:
        yield link
    finally:
        link.mend()
        link.cut()
