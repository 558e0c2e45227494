"""pynetdicom's association with a different engine: its threads wait instead of polling, its reader is ours.

The library keeps the state machine, the negotiation, and every service but C-STORE. What is replaced, and why:

- reading: whole PDUs from a bounded buffer, never blocking inside one, so that the library's timers are looked at
  once a second whatever a peer does; P-DATA goes to the `lane`
- waiting: both threads sleep until there is something to do; the library wakes each of them every millisecond
- closing: a socket is closed also if the peer has reset it, and a draft is discarded however an association ends

Called from `scp`.
"""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from pynetdicom import pdu_primitives
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AssociationSocket

from pacs_node.dimse.lane import Context, Lane, Sender
from pacs_node.dimse.pdu import P_DATA, PduInvalid, PduStream
from pacs_node.domain.instance import Inbox

OnEvent = Callable[[str, dict[str, object]], None]

TURN_S = 1.0
"""The timers of an association are looked at at least that often."""
_MOST_WAITING = 32
"""Messages other than C-STORE that wait for their service; more stay in the socket."""
_ESTABLISHED = "Sta6"
_AWAITING_CLOSE = "Sta13"
_CLOSED, _INVALID_PDU = "Evt17", "Evt19"


class NodeAssociation(Association):  # type: ignore[misc]
    """An association that a peer has opened.

    Parameters
    ----------
    server : of the library; the association answers with its AE title and contexts
    connection : accepted from the peer
    inbox, on_event : as in `scp.serve`
    """

    def __init__(self, server: Any, connection: socket.socket, inbox: Inbox, on_event: OnEvent) -> None:
        super().__init__(server.ae, MODE_ACCEPTOR)
        self._server = server
        self._on_event = on_event
        self._opened_s = time.monotonic()
        self._reactor_checkpoint = _Checkpoint()
        self.dimse.msg_queue = _RingingQueue(self._reactor_checkpoint.ring)
        self.lane = Lane(self, inbox, on_event)
        self.dul = _Provider(self, self._reactor_checkpoint.ring)
        self.acse_timeout, self.network_timeout = server.ae.acse_timeout, server.ae.network_timeout
        self.set_socket(_Socket(self, client_socket=connection))

    @cached_property
    def sender(self) -> Sender:
        """The peer, once it has asked for the association."""
        request = self.requestor.primitive
        return Sender(
            calling_ae_title=str(request.calling_ae_title).strip(),
            called_ae_title=str(request.called_ae_title).strip(),
            address=self.requestor.address_info.address,
            maximum_bytes=self.requestor.maximum_length or 0,
        )

    @cached_property
    def contexts(self) -> Mapping[int, Context]:
        """The accepted presentation contexts, once there are any."""
        return {
            number: Context(sop_class_uid=str(cx.abstract_syntax), transfer_syntax_uid=str(cx.transfer_syntax[0]))
            for number, cx in self._accepted_cx.items()
        }

    def send(self, pdu: bytes) -> None:
        """Send bytes to the peer now; only from the thread that reads."""
        self.dul.socket.send(pdu)

    def pass_on(self, context_id: int, fragment: bytes) -> None:
        """Give the library a fragment of a message that is not a C-STORE."""
        primitive = pdu_primitives.P_DATA()
        primitive.presentation_data_value_list = [[context_id, fragment]]
        self.dimse.receive_primitive(primitive)

    def ended(self, failure: Exception | None) -> None:
        """Tell what became of the association; called once, when nothing more can come."""
        known: dict[str, object] = {}
        if self.requestor.primitive is not None:
            sender = self.sender
            known = {"calling_ae_title": sender.calling_ae_title, "called_ae_title": sender.called_ae_title}
        if failure is not None:
            known["code"] = type(failure).__name__
        self._on_event(
            "association_ended",
            {
                **known,
                "address": self.requestor.address_info.address,
                "outcome": self._outcome(),
                "instances": self.lane.instances,
                "bytes": self.lane.bytes,
                "duration_s": round(time.monotonic() - self._opened_s, 3),
            },
        )

    def _outcome(self) -> str:
        if self.is_rejected:
            return "rejected"
        if not self._accepted_cx:
            return "never accepted"
        return "released" if self._sent_release else "aborted"


class _Provider(DULServiceProvider):  # type: ignore[misc]
    """The thread that reads the connection and runs the library's state machine."""

    def __init__(self, association: NodeAssociation, ring: Callable[[], None]) -> None:
        super().__init__(association)
        self.daemon = True
        self._run_loop_delay = 0
        self._alarm = _Alarm()
        self._ring = ring
        self.to_provider_queue = _RingingQueue(self._alarm.ring)
        self.to_user_queue = _RingingQueue(ring)
        self._pdus = PduStream(association.ae.maximum_pdu_size)

    def run_reactor(self) -> None:
        failure: Exception | None = None
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - a hostile peer must not end more than its own association
            failure = error
        finally:
            self._kill_thread = True
            self.assoc.lane.close()
            self.socket._shutdown_socket()
            self._alarm.close()
            self._pdus.close()
            self.assoc.ended(failure)
            self.to_user_queue.put(None)  # whoever waits for the peer waits no longer

    def _is_transport_event(self) -> bool:
        """Take the PDUs that have arrived; wait for more if there is nothing else to do. True if one was complete."""
        connection = self.socket.socket
        if connection is None or not self.event_queue.empty():
            return False
        if self.assoc.dimse.msg_queue.qsize() > _MOST_WAITING:
            self._alarm.wait_for(None, TURN_S)
            return False
        if self.state_machine.current_state == _AWAITING_CLOSE:
            self._await_close(connection)
            return False
        if self._take():
            return True
        if self._alarm.wait_for(connection, TURN_S) and not self._filled(connection):
            self.event_queue.put(_CLOSED)
        return self._take()

    def _await_close(self, connection: socket.socket) -> None:
        """Let the peer close first, so that it reads what was sent last; but not for long, whatever it sends."""
        deadline_s = time.monotonic() + TURN_S
        while self._alarm.wait_for(connection, max(deadline_s - time.monotonic(), 0)) and self._filled(connection):
            self._pdus.drop()
        self.socket.close()

    def _filled(self, connection: socket.socket) -> bool:
        try:
            return self._pdus.fill(connection)
        except OSError:
            return False

    def _take(self) -> bool:
        """Handle complete PDUs up to the first that concerns the state machine; whether there was one."""
        has_taken = False
        try:
            while (pdu := self._pdus.next()) is not None:
                has_taken = True
                if pdu[0] != P_DATA or self.state_machine.current_state != _ESTABLISHED:
                    decoded, event = self._decode_pdu(bytearray(pdu))
                    self._recv_pdu.put(decoded)
                    self.event_queue.put(event)
                    break
                self.assoc.lane.receive(pdu)
        except PduInvalid:
            self.event_queue.put(_INVALID_PDU)
        except Exception:  # noqa: BLE001 - the library raises anything when it decodes what is malformed
            self.event_queue.put(_INVALID_PDU)
        return has_taken


class _Socket(AssociationSocket):  # type: ignore[misc]
    def _shutdown_socket(self) -> None:
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()


class _Checkpoint:
    """The event at which the library's association thread stops before each turn; here it also waits to be rung."""

    def __init__(self) -> None:
        self._is_open = threading.Event()
        self._is_open.set()
        self._rings = threading.Semaphore(0)

    def ring(self) -> None:
        """Let the thread make one turn more."""
        self._rings.release()

    def set(self) -> None:
        self._is_open.set()
        self._rings.release()

    def clear(self) -> None:
        self._is_open.clear()

    def wait(self) -> None:
        self._rings.acquire(timeout=TURN_S)
        self._is_open.wait()


class _RingingQueue(queue.Queue[Any]):
    """A queue that rings when something is put into it."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring_bell = ring

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._ring_bell()


class _Alarm:
    """Wakes the thread that waits for the peer when the own side has something to send."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()

    def ring(self) -> None:
        with self._lock:  # the number of a closed descriptor may be somebody else's file already
            if self._descriptor >= 0:
                os.eventfd_write(self._descriptor, 1)

    def wait_for(self, connection: socket.socket | None, timeout_s: float) -> bool:
        """Whether the connection has something to read; returns early when rung."""
        poll = select.poll()
        if connection is not None:
            poll.register(connection, select.POLLIN)
        poll.register(self._descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(timeout_s * 1000)}
        if self._descriptor in ready:
            os.eventfd_read(self._descriptor)
        return bool(ready - {self._descriptor})

    def close(self) -> None:
        with self._lock:
            os.close(self._descriptor)
            self._descriptor = -1
