"""The SCP: listens, and gives every connection an association of its own. Called from the process that receives."""

from __future__ import annotations

import gc
import ipaddress
import socket
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from pacs_node.config import Caller
from pacs_node.dimse.handlers import handle_requested
from pacs_node.dimse.pdu import acknowledge_at_once, send_at_once
from pacs_node.dimse.provider import NodeAssociation, OnEvent
from pacs_node.domain.identifiers import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from pacs_node.domain.instance import Inbox
from pacs_node.errors import ConfigInvalid

__all__ = ["Caller", "ScpSettings", "Server", "serve"]

_BACKLOG = 256
"""Connections that the kernel holds until they are accepted; the library's 5 drop bursts of senders."""
_POLL_S = 0.1
_COLLECT_AFTER = 50
"""Ended associations of the library are garbage that refers to itself; it is collected after so many connections."""
_SPARE_CONNECTIONS = 100
"""So many more than associations are accepted, in order to reject them politely; beyond that they are closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScpSettings:
    """How the SCP listens.

    Parameters
    ----------
    host, port : where; port 0 takes a free one
    maximum_associations : more are rejected, as transient
    maximum_pdu_bytes : of a P-DATA-TF, as advertised; at least 4096
    callers : who may call, from where; empty for everybody
    require_called_ae_title : reject associations for another AE title
    handshake_s : from the connection to the association request
    idle_s : without a whole PDU an association is aborted after that
    """

    ae_title: str
    host: str = "0.0.0.0"
    port: int = 11112
    maximum_associations: int = 100
    maximum_pdu_bytes: int = 131072
    callers: tuple[Caller, ...] = ()
    require_called_ae_title: bool = True
    handshake_s: float = 25.0
    idle_s: float = 55.0


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
        for association in associations:
            association.join(timeout=grace_s)


def serve(settings: ScpSettings, inbox: Inbox, on_event: OnEvent) -> Server:
    """Listen, and put what is received into the inbox.

    Parameters
    ----------
    inbox : called from one thread per association
    on_event : told of every association that ended and every instance that was refused; called from the same threads

    Raises
    ------
    ConfigInvalid : the settings cannot be used, or the port is taken
    """
    _check(settings)
    _config.LOG_HANDLER_LEVEL = "none"  # the library's own handlers log what is in datasets
    entity = AE(ae_title=settings.ae_title)
    entity.maximum_associations = settings.maximum_associations
    entity.maximum_pdu_size = settings.maximum_pdu_bytes
    entity.acse_timeout, entity.network_timeout = settings.handshake_s, settings.idle_s
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION
    try:
        return Server(_Listener(entity, settings, inbox, on_event))
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


class _Listener(ThreadedAssociationServer):  # type: ignore[misc]
    request_queue_size = _BACKLOG
    daemon_threads = True

    def __init__(self, entity: AE, settings: ScpSettings, inbox: Inbox, on_event: OnEvent) -> None:
        self.settings = settings
        self.inbox = inbox
        self.on_event = on_event
        self._uncollected = 0
        contexts = [build_context(Verification)]
        address = (settings.host, settings.port)
        super().__init__(entity, address, settings.ae_title, contexts, request_handler=_Connection)
        entity._servers.append(self)  # from where the library's shutdown takes it

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._uncollected += 1
        connection.settimeout(self.settings.idle_s)  # for sending; reading never waits in a receive
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        send_at_once(connection)
        acknowledge_at_once(connection)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return len(self.ae.active_associations) < self.settings.maximum_associations + _SPARE_CONNECTIONS

    def service_actions(self) -> None:
        if self._uncollected >= _COLLECT_AFTER:
            self._uncollected = 0
            gc.collect()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        self.on_event("connection_failed", {"address": client_address[0], "code": type(error).__name__})


class _Connection(RequestHandler):  # type: ignore[misc]
    def _create_association(self) -> NodeAssociation:
        listener, entity = self.server, self.server.ae
        association = NodeAssociation(listener, self.request, listener.inbox, listener.on_event)
        association.requestor.address_info = self.remote
        acceptor = association.acceptor
        acceptor.ae_title, acceptor.address_info = listener.ae_title, self.local
        acceptor.maximum_length = entity.maximum_pdu_size
        acceptor.implementation_class_uid = entity.implementation_class_uid
        acceptor.implementation_version_name = entity.implementation_version_name
        acceptor.supported_contexts = []  # until the request has been looked at
        settings = listener.settings
        called = settings.ae_title.strip() if settings.require_called_ae_title else None
        association.bind(evt.EVT_REQUESTED, handle_requested, [called, settings.callers])
        return association
