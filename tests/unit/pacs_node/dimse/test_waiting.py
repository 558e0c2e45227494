"""An alarm tells what the peer has sent from what the own side wants, also when the connection changes."""

from __future__ import annotations

import socket
import threading

from pacs_node.dimse.waiting import Alarm

LONG_S = 60.0


def test_a_peer_that_has_sent_is_told_from_a_ring() -> None:
    alarm, (ours, theirs) = Alarm(), socket.socketpair()
    with ours, theirs:
        alarm.ring()
        assert not alarm.wait_for(ours, LONG_S)
        assert not alarm.wait_for(ours, 0)
        theirs.send(b"x")
        alarm.ring()
        assert alarm.wait_for(ours, LONG_S)
        assert alarm.wait_for(ours, LONG_S)
    alarm.close()


def test_a_ring_is_heard_once() -> None:
    alarm, (ours, theirs) = Alarm(), socket.socketpair()
    with ours, theirs:
        alarm.ring()
        assert not alarm.wait_for(ours, LONG_S)
        later = threading.Timer(0.05, theirs.send, [b"x"])
        later.start()
        assert alarm.wait_for(ours, LONG_S)
        later.join()
    alarm.close()


def test_only_the_connection_that_is_asked_about_is_watched() -> None:
    alarm, (first, first_peer), (second, second_peer) = Alarm(), socket.socketpair(), socket.socketpair()
    with first, first_peer, second, second_peer:
        first_peer.send(b"x")
        assert alarm.wait_for(first, LONG_S)
        assert not alarm.wait_for(second, 0)
        assert not alarm.wait_for(None, 0)
        assert alarm.wait_for(first, LONG_S)
        first.close()
        second_peer.close()
        assert alarm.wait_for(second, LONG_S)
    alarm.close()


def test_a_closed_alarm_rings_nothing() -> None:
    alarm = Alarm()
    alarm.close()
    alarm.ring()
