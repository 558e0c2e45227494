"""The TLS side of a connection that a peer has opened: a handshake within a time, and reading that never waits.

Called from `scp`, in the thread of the connection.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any, cast


class SecureSocket(ssl.SSLSocket):
    """As a plain socket for whoever polls it and reads what there is: half a record is nothing yet."""

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read what has arrived; raises SSLWantReadError if that is no whole record."""
        timeout_s = self.gettimeout()
        self.settimeout(0)
        try:
            return super().recv_into(buffer, nbytes, flags)
        finally:
            self.settimeout(timeout_s)

    def shutdown(self, how: int) -> None:
        """Say that nothing more comes, without waiting for the peer to say so, too; then as a plain socket."""
        self.settimeout(0)
        with suppress(OSError, ValueError):
            self.unwrap()
        super().shutdown(how)


def secured(connection: socket.socket, context: ssl.SSLContext, timeout_s: float) -> SecureSocket:
    """The handshake; the time-out of the connection is the same afterwards.

    Parameters
    ----------
    timeout_s : for the whole handshake, however slowly its bytes come

    Raises
    ------
    OSError : it failed, and the connection is closed
    """
    usual_s = connection.gettimeout()
    connection.settimeout(timeout_s)
    context.sslsocket_class = SecureSocket
    try:
        secure = cast(SecureSocket, context.wrap_socket(connection, server_side=True))
    except OSError:
        connection.close()
        raise
    secure.settimeout(usual_s)
    return secure
