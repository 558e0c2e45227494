"""The audit trail to a receiver: RFC 5424 messages over TLS (RFC 5425, PS3.15 section A.6), in order.

RFC 5425 has no acknowledgement. A connection carries one batch and is then closed in order: whoever has read our end of
TLS has read everything before it. Only then does the position on disk move on; after a reset or a time-out the batch is
sent again. So a message may come twice, and is lost only if the receiver loses it. Called from `trail`.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress

from pacs_node import log
from pacs_node.audit.message import Message, MessageUnreadable, Outcome, as_xml, from_json
from pacs_node.audit.spool import Spool
from pacs_node.config import Audit, PeerTls
from pacs_node.errors import NodeError
from pacs_node.tls import client_context, fault_of

APPLICATION = "PulmoNode"
MESSAGE_ID = "DICOM+RFC3881"
"""PS3.15 section A.6."""
_SECURITY, _NOTICE, _WARNING = 10, 5, 4
"""Facility and severities of RFC 5424 section 6.2.1."""
_TIMEOUT_S = 10.0
_IDLE_S = 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0


def frame(message: Message, host: str) -> bytes:
    """The message as it goes over the connection, behind its length."""
    severity = _NOTICE if message.outcome is Outcome.SUCCESS else _WARNING
    at = message.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = f"<{8 * _SECURITY + severity}>1 {at} {host} {APPLICATION} - {MESSAGE_ID} - "
    content = head.encode("ascii") + b"\xef\xbb\xbf" + as_xml(message).encode()
    return str(len(content)).encode("ascii") + b" " + content


class Sender:
    """The thread that sends what the spool holds; one of the processes that share the spool is enough.

    Parameters
    ----------
    settings : with a syslog_host
    first_pause_s : after a failure; it is doubled up to a minute
    """

    def __init__(self, spool: Spool, settings: Audit, *, first_pause_s: float = _FIRST_PAUSE_S) -> None:
        self._spool = spool
        self._settings = settings
        self._first_pause_s = first_pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit sender", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; what is not sent waits on disk."""
        self._stop.set()
        self._thread.join(2 * _TIMEOUT_S)

    def _run(self) -> None:
        pause_s = self._first_pause_s
        while not self._stop.is_set():
            try:
                with self._spool.sender() as is_ours:
                    while is_ours and not self._stop.is_set():
                        pause_s = self._first_pause_s if self._send_what_there_is() else pause_s
            except (OSError, NodeError) as error:
                code = error.code if isinstance(error, NodeError) else _code_of(error)
                log.event("audit_not_sent", level=logging.WARNING, code=code, next_s=pause_s)
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _send_what_there_is(self) -> bool:
        """Send one batch; whether there was one."""
        lines = self._spool.read(self._spool.sent())
        if not lines:
            self._stop.wait(_IDLE_S)
            return False
        with _connected(self._settings) as connection:
            _send(connection, [line for line, _ in lines])
        self._spool.save_sent(lines[-1][1])
        return True


def _connected(settings: Audit) -> ssl.SSLSocket:
    tls = settings.tls or PeerTls()
    context = client_context(tls)
    connection = socket.create_connection((settings.syslog_host, settings.syslog_port), _TIMEOUT_S)
    try:
        return context.wrap_socket(connection, server_hostname=tls.server_name or settings.syslog_host)
    except BaseException:
        connection.close()
        raise


def _send(connection: ssl.SSLSocket, lines: Sequence[str]) -> None:
    """Send, and wait until the receiver has read it; raises OSError."""
    host = socket.gethostname() or "-"
    for line in lines:
        with suppress(MessageUnreadable):
            connection.sendall(frame(from_json(line), host))
    with suppress(ssl.SSLEOFError):  # it has closed without a word, but in order
        connection.unwrap()


def _code_of(error: OSError) -> str:
    return fault_of(error).value if isinstance(error, ssl.SSLError) else "peer.unreachable"
