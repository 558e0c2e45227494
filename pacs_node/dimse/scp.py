"""The SCP: listens, and gives every connection an association of its own. Called from the process that receives."""

from __future__ import annotations

import gc
import ipaddress
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from pacs_node.config import Caller, ScpTls
from pacs_node.dimse.budget import Budget
from pacs_node.dimse.commitment import PUSH_MODEL
from pacs_node.dimse.handlers import handle_requested, is_within
from pacs_node.dimse.lane import Limits
from pacs_node.dimse.pdu import acknowledge_at_once, send_at_once
from pacs_node.dimse.provider import NodeAssociation, OnEvent
from pacs_node.dimse.secure import secured
from pacs_node.domain.commitment import Desk
from pacs_node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from pacs_node.domain.instance import Inbox
from pacs_node.domain.patience import Patience
from pacs_node.domain.rate import RateLimit, Verdict
from pacs_node.errors import ConfigInvalid
from pacs_node.tls import fault_of, server_context

__all__ = ["Caller", "ScpSettings", "Server", "serve"]

_BACKLOG = 256
"""Connections that the kernel holds until they are accepted; the library's 5 drop bursts of senders."""
_POLL_S = 0.1
_ABORT_S = 2.0
"""What all associations together have to end once they are aborted."""
_COLLECT_AFTER = 50
"""Ended associations of the library are garbage that refers to itself; it is collected after so many connections."""
_SPARE_CONNECTIONS = 100
"""So many connections more than associations are accepted: those that have not asked for one yet, or are rejected
politely; beyond that they are closed."""
_MEMORY_BYTES = 64 << 20
"""Of all messages together that are kept in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScpSettings:
    """How the SCP listens.

    Parameters
    ----------
    host, port : where; port 0 takes a free one
    maximum_associations : more are rejected, as transient
    maximum_pdu_bytes : of a P-DATA-TF, as advertised; at least 4096
    tls : with it nothing but TLS is spoken
    callers : who may call, from where; empty for everybody
    connections_per_minute, connection_burst : of one address, unless `callers` names it; 0 for no limit
    require_called_ae_title : reject associations for another AE title
    maximum_instance_bytes : longer datasets are refused
    patience : with slow peers; the promises are 30 s for a handshake and 60 s without progress
    """

    ae_title: str
    host: str = "0.0.0.0"
    port: int = 11112
    maximum_associations: int = 100
    maximum_pdu_bytes: int = 131072
    tls: ScpTls | None = None
    callers: tuple[Caller, ...] = ()
    connections_per_minute: int = 0
    connection_burst: int = 0
    require_called_ae_title: bool = True
    maximum_instance_bytes: int = 4_000_000_000
    patience: Patience = Patience()


class Server:
    """A running SCP, made by `serve`."""

    def __init__(self, listener: _Listener) -> None:
        self._listener = listener
        self._thread = threading.Thread(target=listener.serve_forever, args=[_POLL_S], name="scp", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.server_address[1])

    @property
    def association_count(self) -> int:
        """Connections that are open now."""
        return len(self._listener.ae.active_associations)

    @property
    def handshake_count(self) -> int:
        """Connections that are in their TLS handshake now."""
        return self._listener.handshakes

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no more connections, give datasets that are being received some time to end, and abort the rest."""
        if not self._thread.is_alive():
            return
        self._listener.shutdown()
        self._thread.join()
        deadline_s = time.monotonic() + grace_s
        associations = self._listener.ae.active_associations
        while any(a.lane.is_receiving for a in associations) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        for association in associations:
            association.abort(block=False)
        deadline_s = time.monotonic() + _ABORT_S
        for association in associations:
            association.join(timeout=max(deadline_s - time.monotonic(), 0))


def serve(
    settings: ScpSettings,
    inbox: Inbox,
    on_event: OnEvent,
    *,
    desk: Desk | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Server:
    """Listen, and put what is received into the inbox.

    Parameters
    ----------
    inbox : called from one thread per association
    on_event : told of every association that ended, every instance and every connection that was refused; called from
        the same threads
    desk : takes what is heard about storage commitment, called from the same threads; without it there is none
    clock : seconds; for the watchdogs

    Raises
    ------
    ConfigInvalid : the settings cannot be used, or the port is taken
    TlsInvalid : certificate, key or authorities cannot be used
    """
    _check(settings)
    _config.LOG_HANDLER_LEVEL = "none"  # the library's own handlers log what is in datasets
    entity = AE(ae_title=settings.ae_title)
    entity.maximum_associations = sys.maxsize  # the library would count connections that have asked for nothing yet
    entity.maximum_pdu_size = settings.maximum_pdu_bytes
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION
    try:
        return Server(_Listener(entity, settings, inbox, on_event, desk, clock))
    except OSError as error:
        raise ConfigInvalid(f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}") from error


def _check(settings: ScpSettings) -> None:
    if settings.maximum_pdu_bytes < 4096:
        raise ConfigInvalid("scp, maximum_pdu_bytes: at least 4096")
    for address in (address for caller in settings.callers for address in caller.addresses):
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError as error:
            raise ConfigInvalid(f"scp, callers: {address!r} is neither an address nor a network") from error


def _rate_limit(settings: ScpSettings) -> RateLimit | None:
    if settings.connections_per_minute == 0:
        return None
    return RateLimit(per_minute=settings.connections_per_minute, burst=settings.connection_burst)


class _Listener(ThreadedAssociationServer):  # type: ignore[misc]
    request_queue_size = _BACKLOG
    daemon_threads = True

    def __init__(
        self,
        entity: AE,
        settings: ScpSettings,
        inbox: Inbox,
        on_event: OnEvent,
        desk: Desk | None,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.desk = desk
        self.inbox = inbox
        self.on_event = on_event
        self.clock = clock
        memory = Budget(_MEMORY_BYTES)
        self.limits = Limits(maximum_instance_bytes=settings.maximum_instance_bytes, memory=memory)
        self.tls = server_context(settings.tls) if settings.tls is not None else None
        self.handshakes = 0
        self._rate = _rate_limit(settings)
        self._known = [address for caller in settings.callers for address in caller.addresses]
        self._admission = threading.Lock()
        self._uncollected = 0
        contexts = [build_context(Verification)]
        address = (settings.host, settings.port)
        super().__init__(entity, address, settings.ae_title, contexts, request_handler=_Connection)
        entity._servers.append(self)  # from where the library's shutdown takes it

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._uncollected += 1
        connection.settimeout(self.settings.patience.idle_s)  # for sending; reading never waits in a receive
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        send_at_once(connection)
        acknowledge_at_once(connection)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if not self._is_in_time(client_address[0]):
            return False
        connections = len(self.ae.active_associations) + self.handshakes
        return connections < self.settings.maximum_associations + _SPARE_CONNECTIONS

    def _is_in_time(self, address: str) -> bool:
        if self._rate is None or is_within(address, self._known):
            return True
        verdict = self._rate.judge(address, self.clock())
        if verdict is Verdict.REFUSED:
            self.on_event("connection_refused", {"address": address, "code": "connection.too-often"})
        return verdict is Verdict.ADMITTED

    def admits(self, association: NodeAssociation) -> bool:
        """Whether there is a place for one more; it has the place as long as its thread lives."""
        with self._admission:
            taken = sum(other.is_admitted for other in self.ae.active_associations)
            association.is_admitted = taken < self.settings.maximum_associations
            return association.is_admitted

    def secured(self, connection: socket.socket, context: ssl.SSLContext) -> socket.socket:
        """The connection after its TLS handshake; raises OSError."""
        with self._admission:
            self.handshakes += 1
        try:
            return secured(connection, context, self.settings.patience.handshake_s)
        finally:
            with self._admission:
                self.handshakes -= 1

    def service_actions(self) -> None:
        if self._uncollected >= _COLLECT_AFTER:
            self._uncollected = 0
            gc.collect()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        self.on_event(
            "connection_failed", {"address": client_address[0], "code": getattr(error, "code", "node.unexpected")}
        )


class _Connection(RequestHandler):  # type: ignore[misc]
    request: socket.socket

    def handle(self) -> None:
        """Runs in a thread of its own, as long as the handshake takes; the association has other threads."""
        self.opened_s = self.server.clock()
        if self.server.tls is not None:
            try:
                self.request = self.server.secured(self.request, self.server.tls)
            except OSError as error:
                refusal = {"address": self.client_address[0], "code": fault_of(error)}
                self.server.on_event("connection_refused", refusal)
                return
        super().handle()

    def _create_association(self) -> NodeAssociation:
        listener, entity = self.server, self.server.ae
        association = NodeAssociation(listener, self.request, self.opened_s)
        association.requestor.address_info = self.remote
        acceptor = association.acceptor
        acceptor.ae_title, acceptor.address_info = listener.ae_title, self.local
        acceptor.maximum_length = entity.maximum_pdu_size
        acceptor.implementation_class_uid = entity.implementation_class_uid
        acceptor.implementation_version_name = entity.implementation_version_name
        acceptor.supported_contexts = []  # until the request has been looked at
        settings = listener.settings
        called = settings.ae_title.strip() if settings.require_called_ae_title else None
        services = [] if listener.desk is None else [PUSH_MODEL]
        association.bind(evt.EVT_REQUESTED, handle_requested, [called, settings.callers, services])
        return association
