"""A receiver of syslog over TLS (RFC 5425), which may be away, and may hang up in the middle."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from xml.etree import ElementTree

from tests.support.certificates import Authority, Issued


@dataclass(slots=True, kw_only=True)
class SyslogReceiver:
    """What has come, in its order; `certificates` are of those who sent it."""

    port: int
    frames: list[str] = field(default_factory=list)
    certificates: list[object] = field(default_factory=list)

    def details(self) -> list[str]:
        """The user of the first participant of every message."""
        roots = [ElementTree.fromstring(frame.partition("\ufeff")[2]) for frame in self.frames]
        return [root.find("ActiveParticipant").get("UserID") for root in roots]  # type: ignore[misc, union-attr]


@contextmanager
def syslog_receiver(
    issued: Issued, authority: Authority, *, port: int = 0, hangs_up_after: int | None = None
) -> Iterator[SyslogReceiver]:
    """Receive until the block ends.

    Parameters
    ----------
    hangs_up_after : the first connection is reset after so many messages, whatever else has come
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(authority.certificate)
    listener = socket.create_server(("127.0.0.1", port))
    receiver = SyslogReceiver(port=listener.getsockname()[1])
    limits = [hangs_up_after]

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as secured:
                    receiver.certificates.append(secured.getpeercert())
                    _read(secured, receiver, limits.pop() if limits else None)
                    secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield receiver
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)
        assert not thread.is_alive()


def _read(secured: ssl.SSLSocket, receiver: SyslogReceiver, limit: int | None) -> None:
    with secured.makefile("rb") as stream:
        while limit is None or limit > 0:
            length = b""
            while (digit := stream.read(1)) != b" ":
                if not digit:
                    secured.unwrap().close()
                    return
                length += digit
            receiver.frames.append(stream.read(int(length)).decode())
            limit = None if limit is None else limit - 1
