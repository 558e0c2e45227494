"""pynetdicom's association with a different engine: its threads wait instead of polling, its reader is ours.

The library keeps the state machine, the negotiation, and every service but C-STORE. What is replaced, and why:

- reading: whole PDUs from a bounded buffer, never blocking inside one; P-DATA goes to the `lane`
- timing: a watchdog, looked at once a second whatever a peer does, instead of the library's timers, which any PDU
  restarts and the clock of the machine moves
- waiting: both threads sleep until there is something to do; the library wakes each of them every millisecond, and its
  loop, which stands still while only the lane has something to do, would yield the processor whenever bytes arrive
- closing: a socket is closed also if the peer has reset it or one of the threads has failed, and a draft is discarded
  however an association ends

Called from `scp`.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from pynetdicom import pdu_primitives
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE
from pynetdicom.transport import AssociationSocket

from pacs_node.dimse.commitment import PUSH_MODEL, CommitmentService
from pacs_node.dimse.lane import Context, Lane, Sender
from pacs_node.dimse.pdu import ABORT, P_DATA, PduStream
from pacs_node.dimse.waiting import Alarm, Checkpoint, RingingQueue
from pacs_node.domain.patience import Watchdog
from pacs_node.errors import AssociationStalled, NodeError, PduInvalid

OnEvent = Callable[[str, dict[str, object]], None]

TURN_S = 1.0
"""The watchdog of an association is looked at at least that often."""
_MOST_WAITING = 32
"""Messages other than C-STORE that wait for their service; more stay in the socket."""
_ABORT_BY_PROVIDER = bytes([ABORT, 0, 0, 0, 0, 4, 0, 0, 2, 0])
_ESTABLISHED = "Sta6"
_AWAITING_CLOSE = "Sta13"
_CLOSED, _INVALID_PDU = "Evt17", "Evt19"
_NOT_NOW = ("AA-1", "AA-8")
"""Actions of the state machine for PDUs that must not come in its state (PS3.8 section 9.2.1): it aborts."""


class NodeAssociation(Association):  # type: ignore[misc]
    """An association that a peer has opened.

    Parameters
    ----------
    listener : of `scp`; the association answers with its AE title, and takes its places, limits and clock
    connection : accepted from the peer
    opened_s : when that was, by the clock of the listener

    Attributes
    ----------
    is_admitted : whether it has one of the places that there are for associations
    """

    def __init__(self, listener: Any, connection: socket.socket, opened_s: float) -> None:
        super().__init__(listener.ae, MODE_ACCEPTOR)
        self._server = listener
        self._clock = listener.clock
        self._opened_s = opened_s
        self.is_admitted = False
        self._reactor_checkpoint = Checkpoint(TURN_S)
        self.dimse.msg_queue = RingingQueue(self._reactor_checkpoint.ring)
        services = {} if listener.desk is None else {PUSH_MODEL: CommitmentService(self, listener.desk)}
        self.lane = Lane(self, listener.inbox, listener.limits, listener.on_event, services)
        watchdog = Watchdog(listener.settings.patience, self._opened_s)
        self.dul = _Provider(self, self._reactor_checkpoint.ring, watchdog, self._clock)
        self.acse_timeout = self.network_timeout = None  # the watchdog sees to both
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

    def post(self, message: Sequence[bytes]) -> None:
        """Let the thread that reads send these PDUs, with nothing between them; from any thread."""
        self.dul.post(message)

    def pass_on(self, context_id: int, fragment: bytes) -> None:
        """Give the library a fragment of a message that is not a C-STORE; raises PduInvalid."""
        primitive = pdu_primitives.P_DATA()
        primitive.presentation_data_value_list = [[context_id, fragment]]
        try:
            self.dimse.receive_primitive(primitive)
        except Exception as error:  # the library raises anything when it decodes what is malformed
            raise PduInvalid from error

    def admit(self) -> bool:
        """Take one of the places for associations; whether there was one."""
        return bool(self._server.admits(self))

    def run_reactor(self) -> None:
        """The library's thread that negotiates and serves; whatever ends it, the connection does not stay open."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - a hostile peer must not end more than its own association
            self.dul.fail(error)
            if not self._started_dul:
                self.dul.end()

    def _serve_request(self, message: Any, context_id: int) -> None:
        """Serve it; the library would leave a message that is no request without an answer."""
        if not message.is_valid_request:
            raise PduInvalid
        super()._serve_request(message, context_id)
        if self.dimse.msg_queue.empty():
            self.lane.served()

    def ended(self, code: str | None) -> None:
        """Tell what became of the association, and why; called once, when nothing more can come."""
        known: dict[str, object] = {}
        if self.requestor.primitive is not None:
            sender = self.sender
            known = {"calling_ae_title": sender.calling_ae_title, "called_ae_title": sender.called_ae_title}
        if code is not None:
            known["code"] = code
        self._server.on_event(
            "association_ended",
            {
                **known,
                "address": self.requestor.address_info.address,
                "outcome": self._outcome(),
                "instances": self.lane.instances,
                "bytes": self.lane.bytes,
                "duration_s": round(self._clock() - self._opened_s, 3),
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

    def __init__(
        self, association: NodeAssociation, ring: Callable[[], None], watchdog: Watchdog, clock: Callable[[], float]
    ) -> None:
        super().__init__(association)
        self.daemon = True
        self._run_loop_delay = 0
        self._watchdog = watchdog
        self._clock = clock
        self._is_established = False
        self._failure: Exception | None = None
        self._code: str | None = None
        self._alarm = Alarm()
        self._posted: deque[Sequence[bytes]] = deque()
        self.to_provider_queue = RingingQueue(self._alarm.ring)
        self.to_user_queue = RingingQueue(ring)
        self._pdus = PduStream(association.ae.maximum_pdu_size)

    def fail(self, error: Exception) -> None:
        """End the association, because another of its threads has met this."""
        self._failure = error
        self._alarm.ring()

    def post(self, message: Sequence[bytes]) -> None:
        """Send PDUs in the next turn, as long as the association stands."""
        self._posted.append(message)
        self._alarm.ring()

    def end(self) -> None:
        """Give everything back; nothing more comes from this connection, and nothing goes to it."""
        self._kill_thread = True
        self.assoc.lane.close()
        self.socket._shutdown_socket()
        self._alarm.close()
        self._pdus.close()
        self.assoc.ended(self._code)
        self.to_user_queue.put(None)  # whoever waits for the peer waits no longer

    def run_reactor(self) -> None:
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - a hostile peer must not end more than its own association
            self._blame(error)
            self.socket.send(_ABORT_BY_PROVIDER)
        finally:
            self.end()

    def _is_transport_event(self) -> bool:
        try:
            has_taken = self._has_turned()
            while self._is_left_to_the_lane():
                has_taken = self._has_turned()
            return has_taken
        except Exception as error:
            self._blame(error)
            raise  # the library aborts the association

    def _has_turned(self) -> bool:
        if self._failure is not None:
            raise self._failure
        if self._has_stalled():
            raise AssociationStalled
        return self._is_pdu_taken()

    def _is_left_to_the_lane(self) -> bool:
        """Whether the library has nothing to do; its loop would yield the processor, each time that bytes arrive."""
        is_library_asked = self._kill_thread or self.event_queue.queue or self.to_provider_queue.queue
        return not is_library_asked and self.state_machine.current_state == _ESTABLISHED

    def _blame(self, error: Exception) -> None:
        """Remember the first cause; what is still sent, an abort, must not wait for a peer that does not read."""
        self._code = self._code or (error.code if isinstance(error, NodeError) else "node.unexpected")
        if self.socket.socket is not None:
            self.socket.socket.settimeout(TURN_S)

    def _has_stalled(self) -> bool:
        self._is_established |= self.state_machine.current_state == _ESTABLISHED
        lane = self.assoc.lane
        return self._watchdog.is_over(self._is_established + lane.messages, lane.received_bytes, self._clock())

    def _process_recv_primitive(self) -> bool:
        if self.state_machine.current_state == _AWAITING_CLOSE:  # what was to be sent comes too late, and has no event
            while not self.to_provider_queue.empty():
                self.to_provider_queue.get()
        return bool(super()._process_recv_primitive())

    def _is_pdu_taken(self) -> bool:
        """Take the PDUs that have arrived; wait for more if there is nothing else to do. True if one was complete."""
        connection = self.socket.socket
        if connection is None or self.event_queue.queue:
            return False
        while self._posted and self.state_machine.current_state == _ESTABLISHED:
            for pdu in self._posted.popleft():
                self.socket.send(pdu)
        if len(self.assoc.dimse.msg_queue.queue) > _MOST_WAITING:
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
        while (
            (remaining_s := deadline_s - time.monotonic()) > 0
            and self._alarm.wait_for(connection, remaining_s)
            and self._filled(connection)
        ):
            self._pdus.drop()
        self.socket.close()

    def _filled(self, connection: socket.socket) -> bool:
        try:
            return self._pdus.fill(connection)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False

    def _take(self) -> bool:
        """Handle complete PDUs up to the first that concerns the state machine; whether there was one."""
        has_taken = False
        try:
            while (pdu := self._pdus.next()) is not None:
                has_taken = True
                if pdu[0] != P_DATA or self.state_machine.current_state != _ESTABLISHED:
                    self._decode(pdu)
                    break
                self.assoc.lane.receive(pdu)
        except PduInvalid as error:
            self._blame(error)
            self.event_queue.put(_INVALID_PDU)
        return has_taken

    def _decode(self, pdu: memoryview) -> None:
        try:
            decoded, event = self._decode_pdu(bytearray(pdu))
            decoded.to_primitive()  # the state machine would fail at it in the middle of a transition
        except Exception as error:  # the library raises anything when it decodes what is malformed
            raise PduInvalid from error
        if TRANSITION_TABLE.get((event, self.state_machine.current_state)) in _NOT_NOW:
            raise PduInvalid
        self._recv_pdu.put(decoded)
        self.event_queue.put(event)


class _Socket(AssociationSocket):  # type: ignore[misc]
    _has_failed = False

    def send(self, bytestream: bytes) -> None:
        """Send all of it within the time-out of the socket; a peer that did not read once is not waited for again."""
        if self._has_failed or self.socket is None:
            return
        try:
            self.socket.sendall(bytestream)
        except OSError:
            self._has_failed = True
            self.event_queue.put(_CLOSED)

    def _shutdown_socket(self) -> None:
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()
