"""The audit trail: what is told, that it reaches a receiver in order whatever happens, and that nobody waits for it."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pacs_node import log
from pacs_node.audit.message import Kind, Message, Outcome, Participant, Role, as_json, from_json
from pacs_node.audit.reporter import Reporter
from pacs_node.audit.spool import Position, Spool
from pacs_node.audit.syslog import Sender
from pacs_node.audit.trail import Behind, Trail
from pacs_node.config import Audit, Config, Destination, PeerTls, Report, Scp
from pacs_node.demo.pacs import free_port
from pacs_node.domain.instance import Receipt
from pacs_node.errors import PeerUnreachable
from pacs_node.node import Node
from pacs_node.processes.watching import QUIET_S, Watch
from tests.support.certificates import PAST, Authority, Issued, peer_tls
from tests.support.nodes import eventually
from tests.support.steps import Clock, receive, run_waiting
from tests.support.syslog import syslog_receiver

AT = datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def theirs(authority: Authority) -> Issued:
    return authority.issue("theirs")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "audit", keep_bytes=10_000_000)


def a_message(name: str) -> Message:
    participant = Participant(user_id=name, role=Role.APPLICATION)
    return Message(kind=Kind.STARTED, source="NODE", at=AT, participants=(participant,))


def told(folder: Path) -> list[Message]:
    """The trail in a folder."""
    spool = Spool(folder, keep_bytes=10_000_000)
    return [from_json(line) for line, _ in spool.read(Position(), 1000)]


@contextmanager
def sending(spool: Spool, port: int, tls: PeerTls | None) -> Iterator[Sender]:
    sender = Sender(spool, Audit(syslog_host="127.0.0.1", syslog_port=port, tls=tls), first_pause_s=0.02)
    try:
        yield sender
    finally:
        sender.close()


# --- to the receiver ---


def test_the_receiver_gets_everything_in_order_and_once(spool: Spool, authority: Authority, theirs: Issued) -> None:
    names = [f"number {number}" for number in range(250)]
    spool.append([as_json(a_message(name)) for name in names[:200]])
    ours = authority.issue("ours")
    with syslog_receiver(theirs, authority) as receiver, sending(spool, receiver.port, peer_tls(authority, ours)):
        eventually(lambda: len(receiver.frames) >= 200, timeout_s=20, every_s=0.02)
        spool.append([as_json(a_message(name)) for name in names[200:]])
        eventually(lambda: len(receiver.frames) >= 250, timeout_s=20, every_s=0.02)
        eventually(lambda: spool.read(spool.sent()) == [], timeout_s=20, every_s=0.02)
    assert receiver.details() == names
    assert all(receiver.certificates)


def test_what_happens_while_the_receiver_is_away_comes_after_a_restart(
    spool: Spool, authority: Authority, theirs: Issued
) -> None:
    port = free_port()
    names = [f"number {number}" for number in range(30)]
    with sending(spool, port, peer_tls(authority)):
        for name in names[:20]:
            spool.append([as_json(a_message(name))])
    spool.append([as_json(a_message(name)) for name in names[20:]])
    with syslog_receiver(theirs, authority, port=port) as receiver, sending(spool, port, peer_tls(authority)):
        eventually(lambda: len(receiver.frames) >= 30, timeout_s=20, every_s=0.02)
    assert receiver.details() == names


@pytest.mark.parametrize("count", [10, 300])
def test_a_receiver_that_hangs_up_in_the_middle_gets_the_rest_and_misses_nothing(
    spool: Spool, authority: Authority, theirs: Issued, count: int
) -> None:
    """Ten messages are in its buffers as a whole, and acknowledged by its machine, when it hangs up."""
    names = [f"number {number}" for number in range(count)]
    spool.append([as_json(a_message(name)) for name in names])
    with (
        syslog_receiver(theirs, authority, hangs_up_after=7) as receiver,
        sending(spool, receiver.port, peer_tls(authority)),
    ):
        eventually(lambda: names[-1] in receiver.details(), timeout_s=20, every_s=0.05)
    found = receiver.details()
    assert found[:7] == names[:7]
    assert list(dict.fromkeys(found)) == names
    assert len(receiver.certificates) >= 2


def test_a_line_that_is_torn_is_passed_over(spool: Spool, authority: Authority, theirs: Issued) -> None:
    spool.append([as_json(a_message("one")), '{"torn', as_json(a_message("two"))])
    with syslog_receiver(theirs, authority) as receiver, sending(spool, receiver.port, peer_tls(authority)):
        eventually(lambda: len(receiver.frames) >= 2, timeout_s=20, every_s=0.02)
    assert receiver.details() == ["one", "two"]


def test_a_receiver_that_is_not_who_it_should_be_gets_nothing(
    spool: Spool, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure("INFO")
    spool.append([as_json(a_message("secret"))])
    old = authority.issue("old", days=PAST)
    with syslog_receiver(old, authority) as receiver, sending(spool, receiver.port, peer_tls(authority)):
        eventually(lambda: '"code": "tls.expired"' in "".join(capfd.readouterr()), timeout_s=20, every_s=0.02)
    assert receiver.frames == []
    assert spool.sent() == Position()


# --- what is told ---


def a_receipt(study: str, number: int = 1) -> Receipt:
    values = dict.fromkeys(Receipt.__slots__, "")
    return Receipt(**values | {"study_instance_uid": study, "calling_ae_title": "CT1", "peer_address": "10.0.0.7"})  # type: ignore[arg-type]


class Watched:
    """A watch with a clock that the test moves."""

    def __init__(self, config: Config) -> None:
        self.now_s = 100.0
        reporter = Reporter(config=config, record=Trail(config).record, now=lambda: AT)
        self.watch = Watch(config, reporter, clock=lambda: self.now_s)


def test_the_process_that_receives_tells_of_its_life(tmp_path: Path) -> None:
    config = Config(data=tmp_path, scp=Scp(ae_title="LUNGS"))
    first = Watched(config)
    first.watch.start()
    first.watch.stored([a_receipt("1.2.3")] * 3 + [a_receipt("1.2.4")])
    first.now_s += QUIET_S
    first.watch.stored([a_receipt("1.2.4")])
    first.watch.tick()
    first.watch.happened("association_ended", {"outcome": "released", "address": "10.0.0.7"})
    first.watch.happened(
        "association_ended", {"outcome": "rejected", "address": "10.0.0.8", "calling_ae_title": "STRANGER"}
    )
    first.watch.happened("connection_refused", {"address": "10.0.0.9", "code": "tls.expired"})
    first.watch.stop()
    kinds = [(message.kind, message.study_instance_uid, message.instances) for message in told(tmp_path / "audit")]
    assert kinds == [
        (Kind.STARTED, "", 0),
        (Kind.RECEIVING, "1.2.3", 0),
        (Kind.RECEIVING, "1.2.4", 0),
        (Kind.RECEIVED, "1.2.3", 3),
        (Kind.REFUSED, "", 0),
        (Kind.REFUSED, "", 0),
        (Kind.RECEIVED, "1.2.4", 2),
        (Kind.STOPPED, "", 0),
    ]
    refusals = [message for message in told(tmp_path / "audit") if message.kind is Kind.REFUSED]
    assert [(message.participants[0].user_id, message.detail) for message in refusals] == [
        ("STRANGER", "association.rejected"),
        ("10.0.0.9", "tls.expired"),
    ]
    assert {message.source for message in told(tmp_path / "audit")} == {"LUNGS"}


def test_another_configuration_is_told_of_at_the_next_start(tmp_path: Path) -> None:
    before = Config(data=tmp_path)
    for config in (before, before, replace(before, scp=Scp(port=104), report=Report(ohif_hydration=True))):
        watched = Watched(config)
        watched.watch.start()
        watched.watch.stop()
    changes = [message.detail for message in told(tmp_path / "audit") if message.kind is Kind.CONFIGURED]
    assert changes == ["report, scp"]


def test_a_scanner_of_ports_cannot_fill_the_trail(tmp_path: Path) -> None:
    watched = Watched(Config(data=tmp_path))
    for _ in range(1000):
        watched.watch.happened("connection_refused", {"address": "10.0.0.9", "code": "tls.not-tls"})
    watched.watch.stop()
    assert [message.kind for message in told(tmp_path / "audit")].count(Kind.REFUSED) == 60


def test_nobody_waits_for_the_disk_of_the_trail(tmp_path: Path) -> None:
    """The trail is locked while instances come; they are told of when it is free."""
    watched = Watched(Config(data=tmp_path))
    (tmp_path / "audit").mkdir()
    with (tmp_path / "audit/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = threading.Event()
        worker = threading.Thread(target=lambda: (watched.watch.stored([a_receipt("1.2.3")]), done.set()))
        worker.start()
        assert done.wait(10)
        assert told(tmp_path / "audit") == []
    watched.watch.stop()
    assert [message.kind for message in told(tmp_path / "audit")] == [Kind.RECEIVING, Kind.RECEIVED, Kind.STOPPED]


def test_a_disk_that_refuses_the_trail_is_tried_again(tmp_path: Path) -> None:
    class Flaky(Spool):
        """Fails once."""

        failures = 1

        def append(self, lines: Sequence[str]) -> None:
            if self.failures:
                self.failures -= 1
                raise OSError(28, "no space left")
            super().append(lines)

    behind = Behind(Flaky(tmp_path, keep_bytes=10_000_000))
    for name in ("one", "two"):
        behind.record(a_message(name))
    eventually(lambda: len(told(tmp_path)) == 2, timeout_s=20)
    behind.close()
    assert [message.participants[0].user_id for message in told(tmp_path)] == ["one", "two"]


def test_a_trail_that_cannot_be_written_stops_no_step(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("INFO")
    (tmp_path / "audit").write_text("a file in the place of the folder")
    Trail(Config(data=tmp_path)).record(a_message("one"))
    assert '"audit_not_written"' in "".join(capfd.readouterr())


def test_a_delivery_is_told_of_from_its_beginning_to_its_result(node: Node, chest: list[Path], clock: Clock) -> None:
    failures = [PeerUnreachable()]

    def send(destination: Destination, paths: Sequence[Path]) -> None:
        if failures:
            raise failures.pop()

    flaky = replace(node, send=send)
    receive(flaky, chest)
    clock.forward(60)
    run_waiting(flaky)
    clock.forward(3600)
    run_waiting(flaky)
    [study] = {message.study_instance_uid for message in told(node.config.data / "audit")}
    assert study
    assert [(message.kind, message.outcome, message.detail) for message in told(node.config.data / "audit")] == [
        (Kind.SENDING, Outcome.SUCCESS, ""),
        (Kind.SENT, Outcome.SERIOUS_FAILURE, "peer.unreachable"),
        (Kind.SENDING, Outcome.SUCCESS, ""),
        (Kind.SENT, Outcome.SUCCESS, ""),
        (Kind.EXPORTED, Outcome.SUCCESS, ""),
    ]
    last = told(node.config.data / "audit")[-1]
    ends = [participant.user_id for participant in last.participants]
    assert ends == ["PULMONODE", node.config.destination[0].ae_title]
    assert last.instances >= 2
