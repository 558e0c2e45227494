"""A run over time: memory and descriptors of each part of the node, and how far the studies have come."""

from __future__ import annotations

import csv
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from tests.soak.keeping import UNDELIVERED, UNFINISHED, Disk, Keeper, asked, part_of
from tests.soak.ledger import Ledger

PARTS = ("head", "serve", "work", "Triton")
COLUMNS = (
    *("seconds", "acknowledged", "studies", "waiting", "undelivered", "finished", "delivered", "disk_mib"),
    *(f"rss_mib {part}" for part in PARTS),
    *(f"descriptors {part}" for part in PARTS),
)
FINISHED = "SELECT count(DISTINCT study_id) FROM job WHERE state IN ('done', 'quarantined')"
DELIVERED = "SELECT count(*) FROM delivery WHERE state IN ('delivered', 'superseded')"
EVERY_S = 2.0
FULL_ENOUGH = 0.85


class Watcher:
    """Looks every two seconds until it is closed, and writes a row of a table each time.

    Attributes
    ----------
    waiting, undelivered, finished : studies and results; None while the database cannot be asked
    """

    def __init__(self, path: Path, keeper: Keeper, ledger: Ledger, disk: Disk | None) -> None:
        self._keeper, self._ledger, self._disk = keeper, ledger, disk
        self._data = keeper.node.config.data
        self._started_s = time.monotonic()
        self._over = threading.Event()
        self.waiting: int | None = None
        self.undelivered: int | None = None
        self.finished: int | None = None
        self._thread = threading.Thread(target=self._run, args=[path], name="watcher", daemon=True)
        self._thread.start()

    @property
    def has_room(self) -> bool:
        """Whether the disk is large enough for more studies, while it is not made full."""
        return self._disk is None or self._disk.used_fraction < FULL_ENOUGH

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _run(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            while not self._over.wait(EVERY_S):
                table.writerow(self._row())
                file.flush()

    def _row(self) -> list[object]:
        self.waiting = asked(self._data, UNFINISHED)
        self.undelivered = asked(self._data, UNDELIVERED)
        self.finished = asked(self._data, FINISHED)
        memory, descriptors = self._held()
        progress = (self.waiting, self.undelivered, self.finished, asked(self._data, DELIVERED))
        return [
            round(time.monotonic() - self._started_s, 1),
            self._ledger.counts.total(),
            len(self._ledger.studies),
            *("" if value is None else value for value in progress),
            "" if self._disk is None else self._disk.used_bytes >> 20,
            *(memory[part] >> 20 for part in PARTS),
            *(descriptors[part] for part in PARTS),
        ]

    def _held(self) -> tuple[Counter[str], Counter[str]]:
        """Resident bytes and open descriptors of each part; what processes share counts in each of them."""
        memory: Counter[str] = Counter()
        descriptors: Counter[str] = Counter()
        for process in self._keeper.processes():
            with suppress(psutil.Error):
                part = part_of(process)
                memory[part] += process.memory_info().rss
                descriptors[part] += process.num_fds()
        return memory, descriptors
