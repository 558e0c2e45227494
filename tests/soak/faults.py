"""Makes the faults of a schedule happen: each stream in a thread of its own; what was done is written down."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from signal import SIGCONT, SIGKILL, SIGSTOP

import psutil

from tests.soak.destinations import Pacs
from tests.soak.keeping import WATERMARK_BYTES, Disk, Keeper, part_of
from tests.soak.schedule import Fault, Kind, Stream, faults_of

KILLED: Mapping[Kind, Collection[str]] = {
    Kind.SERVE_KILLED: ("serve",),
    Kind.WORKERS_KILLED: ("work",),
    Kind.WORKER_KILLED: ("work",),
    Kind.HEAD_KILLED: ("head",),
    Kind.TRITON_KILLED: ("Triton",),
    Kind.MODEL_KILLED: ("Triton",),
    Kind.NODE_KILLED: ("serve", "work", "head", "Triton"),
}
"""Which parts of the node die, or of which one process below them does."""


class FaultMaker:
    """Everything that can go wrong with one node.

    Parameters
    ----------
    disk : None if there is no small one; then it is never full
    log : gets a line for every fault that came about
    """

    def __init__(
        self, keeper: Keeper, disk: Disk | None, pacs: tuple[Pacs, Pacs], log: Path, seed: int, length_s: float
    ) -> None:
        self._keeper, self._disk = keeper, disk
        self._pacs = {Stream.PACS: pacs[0], Stream.SECOND: pacs[1]}
        self._log = log.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._rng = Random(f"{seed} victims")
        self._over = threading.Event()
        self._started_s = time.monotonic()
        self.counts: Counter[str] = Counter()
        self.present: dict[Stream, Kind] = {}
        streams = [stream for stream in Stream if disk is not None or stream is not Stream.DISK]
        self._threads = [
            threading.Thread(target=self._run, args=[faults_of(seed, length_s, stream)], name=stream, daemon=True)
            for stream in streams
        ]

    def start(self) -> None:
        """Begin with the schedule now."""
        self._started_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End every fault, and make no other."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._log.close()

    def _run(self, faults: tuple[Fault, ...]) -> None:
        for fault in faults:
            if self._over.wait(max(0.0, self._started_s + fault.at_s - time.monotonic())):
                return
            begin, end = self._acts(fault)
            self.present[fault.stream] = fault.kind
            if begin():
                self._tell(fault)
            self._over.wait(fault.duration_s)
            end()
            del self.present[fault.stream]

    def _tell(self, fault: Fault) -> None:
        is_second = fault.stream is Stream.SECOND
        name = f"{'second ' if is_second else ''}PACS {fault.kind}" if fault.stream in self._pacs else str(fault.kind)
        line = {"at_s": time.monotonic() - self._started_s, "stream": fault.stream, "fault": name}
        with self._lock:
            self.counts[name] += 1
            self._log.write(json.dumps(line | {"duration_s": fault.duration_s}) + "\n")
            self._log.flush()

    def _acts(self, fault: Fault) -> tuple[Callable[[], bool], Callable[[], object]]:
        """How it begins, and says whether it did, and how it ends."""
        if fault.stream in self._pacs:
            pacs = self._pacs[fault.stream]
            return lambda: pacs.feel(fault.kind), lambda: pacs.feel(None)
        if fault.stream is Stream.DISK and self._disk is not None:
            disk, left = self._disk, 0 if fault.kind is Kind.DISK_FULL else WATERMARK_BYTES // 2
            return lambda: disk.leave(left), disk.mend
        if fault.kind is Kind.TRITON_STOPPED:
            return lambda: self._signalled(("Triton",), SIGSTOP), lambda: self._signalled(("Triton",), SIGCONT)
        is_one = fault.kind in (Kind.WORKER_KILLED, Kind.MODEL_KILLED)
        return lambda: self._signalled(KILLED[fault.kind], SIGKILL, is_one=is_one), lambda: None

    def _signalled(self, parts: Collection[str], number: int, *, is_one: bool = False) -> bool:
        """Send a signal to these parts of the node, or to one of the processes below them; whether any was there."""
        victims = []
        for process in self._keeper.processes():
            with suppress(psutil.Error):
                if part_of(process) in parts:
                    victims.append(process)
        if is_one:
            below = [process for process in victims[1:] if process.ppid() == victims[0].pid]
            victims = [self._rng.choice(below)] if below else []
        for process in victims:
            with suppress(psutil.Error):
                process.send_signal(number)
        return bool(victims)
