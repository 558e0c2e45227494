"""Scanners with habits, good and bad. Whatever is acknowledged is in the ledger before the next instance is sent.

An honest sender sends what was not acknowledged again, after a pause, until it is: as scanners and routers do.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pydicom
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from pacs_node.dimse import command, scu
from pacs_node.dimse.pdu import COMMAND, p_data
from pacs_node.dimse.requestor import Requestor
from pacs_node.errors import NodeError
from tests.soak.ledger import Answer, Entry, Ledger, Origin
from tests.soak.schedule import HABITS, Habit, drawn
from tests.support.hostile import HELD, REFUSED, sent_series
from tests.support.instances import an_instance, encoded, hash_of
from tests.support.series import Ball, a_chest_series
from tests.support.wire import PDU_BYTES, Wire, an_association_request, closes_after

SUCCESS, FULL, FAILURE, DUPLICATE = 0x0000, 0xA700, 0x0110, 0x0111
MAY_PASS = (FULL, FAILURE)
PATIENCE_S = 30.0
SYNTAXES = [ExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless]
MALICE = {**{name: kind for name, (_, kind) in REFUSED.items()}, **{name: kind for name, (_, kind) in HELD.items()}}
NOT_SENT = {"deflated zeros", "deflated zeros before the pixels", "deflated zeros behind the pixels"}
"""Each takes this process seconds to make, and they have tests of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One instance that is to be sent."""

    origin: Origin
    study: str
    series: str
    uid: str
    sop_class: str
    syntax: str
    content: bytes
    slices: int
    nodule_lps: tuple[float, float, float] | None = None

    def entry(self, answer: Answer, sender: str, at_s: float) -> Entry:
        """What the ledger keeps of an answer."""
        return Entry(
            answer=answer,
            origin=self.origin,
            sender=sender,
            study_instance_uid=self.study,
            series_instance_uid=self.series,
            sop_instance_uid=self.uid,
            content_hash=hash_of(self.content),
            size_bytes=len(self.content),
            slices=self.slices,
            at_s=round(at_s, 3),
            nodule_lps=self.nodule_lps,
        )


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What all senders share.

    Parameters
    ----------
    results : a file that a PACS holds, drawn with a generator; None while it has none
    may_send : whether little enough waits
    is_over : no study is begun any more
    is_cut_off : what was begun is not continued either
    """

    seed: int
    peer: scu.Peer
    ledger: Ledger
    results: Callable[[Random], Path | None]
    may_send: Callable[[], bool]
    is_over: threading.Event
    is_cut_off: threading.Event
    started_s: float
    statuses: Counter[str]
    habits: Counter[Habit]
    errors: Counter[str]


class Sender(threading.Thread):
    """One scanner; its number decides, with the seed, what it does."""

    def __init__(self, traffic: Traffic, number: int) -> None:
        super().__init__(name=f"sender {number}", daemon=True)
        self._traffic = traffic
        self._rng = Random(f"{traffic.seed} sender {number}")
        self._ae_title = f"CT{number}"
        self._count = 0

    def run(self) -> None:
        """Send until the traffic is over."""
        acts: dict[Habit, Callable[[], None]] = {
            Habit.WHOLE: lambda: self._deliver(self._chest()),
            Habit.BURST: self._burst,
            Habit.TWICE: self._twice,
            Habit.CONFLICT: self._conflict,
            Habit.BREAKS_OFF: self._break_off,
            Habit.LATE: self._late,
            Habit.HOSTILE: self._hostile,
            Habit.PACKETS: self._packets,
            Habit.PROBES: self._probes,
            Habit.RETURNS: self._returns,
        }
        while not self._traffic.is_over.wait(self._rng.uniform(0.2, 2.0)):
            if self._traffic.may_send():
                habit = drawn(self._rng, HABITS)
                self._traffic.habits[habit] += 1
                acts[habit]()

    def _burst(self) -> None:
        studies = [self._chest() for _ in range(3)]
        threads = [threading.Thread(target=self._deliver, args=[study]) for study in studies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _twice(self) -> None:
        chest = self._chest()
        self._deliver(chest)
        self._deliver(self._rng.sample(chest, len(chest)))

    def _conflict(self) -> None:
        """The same UID with other pixels, while the study is new."""
        chest = self._chest(syntax=ExplicitVRLittleEndian)
        self._deliver(chest)
        chosen = self._rng.choice(chest)
        self._deliver([replace(chosen, content=chosen.content[:-2] + b"\x34\x02")])

    def _break_off(self) -> None:
        """Half a C-STORE and an abort, a reset or nothing; everything again later."""
        chest = self._chest(syntax=ExplicitVRLittleEndian)
        with suppress(OSError, AssertionError), Wire(self._traffic.peer) as wire:
            for item in chest[: self._rng.randrange(len(chest))]:
                wire.send(*_pdus(item))
                self._note(item, wire.status())
            pdus = _pdus(chest[-1])
            wire.send(*pdus[: self._rng.randrange(1, len(pdus))])
            self._rng.choice([wire.abort, wire.reset, lambda: None])()
        self._traffic.is_cut_off.wait(self._rng.uniform(0, 6))
        self._deliver(chest)

    def _late(self) -> None:
        """The last slices come some time after the others: before the study settles, in its analysis, or later."""
        chest = self._chest()
        self._deliver(chest[:-5])
        self._traffic.is_over.wait(self._rng.uniform(1, 40))
        self._deliver(chest[-5:])

    def _hostile(self) -> None:
        name = self._rng.choice(sorted(MALICE.keys() - NOT_SENT))
        with TemporaryDirectory() as folder:
            sent = sent_series(Path(folder), self._new_name(), MALICE[name])
            headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(Path(folder).glob("*.dcm"))]
        study, series = str(headers[0].StudyInstanceUID), str(headers[0].SeriesInstanceUID)
        slices = [
            Slice(
                origin=Origin.HOSTILE,
                study=study,
                series=series,
                uid=item.request.sop_instance_uid,
                sop_class=item.request.sop_class_uid,
                syntax=item.request.transfer_syntax_uid,
                content=item.dataset,
                slices=len(sent),
            )
            for item in sent
        ]
        self._deliver(slices)

    def _packets(self) -> None:
        """Honest bytes with a few that are not, a lying length, half a request, and a peer that stalls."""
        dataset = an_instance(f"1.2.826.0.1.77.9.{self._rng.randrange(10**9)}")
        with ExitStack() as stack:
            for _ in range(8):
                with suppress(OSError, AssertionError):
                    wire = stack.enter_context(Wire(self._traffic.peer))
                    packets = bytearray(b"".join(wire.store(dataset, encoded(dataset))[:1]))
                    for _ in range(self._rng.randrange(1, 6)):
                        packets[self._rng.randrange(len(packets))] = self._rng.randrange(256)
                    wire.send(bytes(packets))
            with suppress(OSError):
                connection = stack.enter_context(self._connected())
                connection.sendall(b"\x01\x00" + (1 << 30).to_bytes(4, "big"))
                closes_after(connection, 5)
            with suppress(OSError):
                connection = stack.enter_context(self._connected())
                connection.sendall(an_association_request()[: self._rng.randrange(1, 200)])
                self._traffic.is_over.wait(self._rng.uniform(1, 10))

    def _probes(self) -> None:
        for _ in range(50):
            with suppress(OSError):
                self._connected().close()

    def _returns(self) -> None:
        """A result comes back from the PACS that got it."""
        path = self._traffic.results(self._rng)
        if path is None:
            return
        header = pydicom.dcmread(path, stop_before_pixels=True)
        item = Slice(
            origin=Origin.RESULT,
            study=str(header.StudyInstanceUID),
            series=str(header.SeriesInstanceUID),
            uid=str(header.SOPInstanceUID),
            sop_class=str(header.SOPClassUID),
            syntax=str(header.file_meta.TransferSyntaxUID),
            content=dataset_of(path),
            slices=0,
        )
        self._deliver([item])

    def _chest(self, syntax: str | None = None) -> list[Slice]:
        """A CT of 24 slices with a nodule somewhere in the left lung: where it is found tells whose it is."""
        name = self._new_name()
        x, y, z = (round(middle + self._rng.uniform(-20, 20), 1) for middle in (65, 0, 0))
        ball = Ball(centre_lps=(x, y, z), diameter_mm=14)
        chosen = syntax or self._rng.choice(SYNTAXES)
        with TemporaryDirectory() as folder:
            paths = a_chest_series(
                Path(folder), balls=[ball], study=name, series=name, slices=24, spacing_mm=4.0, transfer_syntax=chosen
            )
            headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
            contents = [dataset_of(path) for path in paths]
        return [
            Slice(
                origin=Origin.CHEST,
                study=str(header.StudyInstanceUID),
                series=str(header.SeriesInstanceUID),
                uid=str(header.SOPInstanceUID),
                sop_class=str(CTImageStorage),
                syntax=str(chosen),
                content=content,
                slices=len(paths),
                nodule_lps=ball.centre_lps,
            )
            for header, content in zip(headers, contents, strict=True)
        ]

    def _deliver(self, items: Sequence[Slice]) -> None:
        """Send until every instance has an answer that is final, or all is over."""
        waiting = list(items)
        while waiting and not self._traffic.is_cut_off.is_set():
            waiting = self._sent(waiting)
            if waiting:
                self._traffic.is_cut_off.wait(self._rng.uniform(0.5, 4))

    def _sent(self, items: list[Slice]) -> list[Slice]:
        """Open one association for all of these; what has to be sent again."""
        waiting = list(items)
        proposed = sorted({(item.sop_class, item.syntax) for item in items})
        try:
            with Requestor(
                self._traffic.peer, self._ae_title, [(sop, [syntax]) for sop, syntax in proposed], PATIENCE_S
            ) as association:
                while waiting:
                    item = waiting[0]
                    number = 2 * proposed.index((item.sop_class, item.syntax)) + 1
                    request = command.store_request(1, item.sop_class, item.uid)
                    status = command.number(association.exchange(number, request, item.content), command.STATUS)
                    self._note(item, status)
                    if status in MAY_PASS:
                        break
                    waiting.pop(0)
        except NodeError as error:
            self._traffic.errors[error.code] += 1
        return waiting

    def _note(self, item: Slice, status: int | None) -> None:
        at_s = time.monotonic() - self._traffic.started_s
        self._traffic.statuses["none" if status is None else f"0x{status:04X}"] += 1
        if status == SUCCESS:
            self._traffic.ledger.write(item.entry(Answer.ACKNOWLEDGED, self._ae_title, at_s))
        elif status == DUPLICATE:
            self._traffic.ledger.write(item.entry(Answer.CONFLICT, self._ae_title, at_s))

    def _connected(self) -> socket.socket:
        return socket.create_connection((self._traffic.peer.host, self._traffic.peer.port), 10)

    def _new_name(self) -> str:
        self._count += 1
        return f"{self._traffic.seed} {self._ae_title} {self._count}"


def dataset_of(path: Path) -> bytes:
    """The dataset of a file: what follows the file meta information (PS3.10 section 7.1)."""
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


def _pdus(item: Slice) -> list[bytes]:
    request = command.store_request(1, item.sop_class, item.uid)
    return [*p_data(1, COMMAND, request, PDU_BYTES), *p_data(1, 0, item.content, PDU_BYTES)]
