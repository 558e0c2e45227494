"""What senders were told: every instance that was answered with 0x0000, and every conflict, on disk at once.

One JSON object per line, synced one by one, so that the ledger knows at least what a sender knows.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Answer(StrEnum):
    """What the node promised with its answer."""

    ACKNOWLEDGED = "acknowledged"
    """0x0000: it is durable, will be analysed, and its result delivered"""
    CONFLICT = "conflict"
    """0x0111: other content has this UID; this one is kept aside"""


class Origin(StrEnum):
    """What was sent."""

    CHEST = "chest"
    """a slice of a chest with one nodule"""
    HOSTILE = "hostile"
    """a slice of a series that cannot be analysed, and gets a report that says so"""
    RESULT = "result"
    """a result of the node that a PACS sends back; it is stored, and no more comes of it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One answer.

    Parameters
    ----------
    content_hash, size_bytes : of the dataset as it was sent; the hash as the node names it
    slices : how many instances the whole study has
    nodule_lps : centre of the nodule that the study has, mm
    at_s : since the begin of the run
    """

    answer: Answer
    origin: Origin
    sender: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    content_hash: str
    size_bytes: int
    slices: int
    at_s: float
    nodule_lps: tuple[float, float, float] | None = None


class Ledger:
    """The file, and how much is in it; any thread may write."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()
        self.counts: Counter[Answer] = Counter()
        self.studies: set[str] = set()

    def write(self, entry: Entry) -> None:
        """Append; it is on disk when this returns."""
        line = json.dumps(asdict(entry)).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            os.fsync(self._file.fileno())
            self.counts[entry.answer] += 1
            if entry.answer is Answer.ACKNOWLEDGED:
                self.studies.add(entry.study_instance_uid)

    def close(self) -> None:
        """Nothing may be written afterwards."""
        self._file.close()


def read(path: Path) -> tuple[Entry, ...]:
    """All entries, in the order of their answers."""
    with path.open(encoding="utf-8") as lines:
        return tuple(_entry(json.loads(line)) for line in lines)


def _entry(values: dict[str, Any]) -> Entry:
    answer, origin = Answer(values.pop("answer")), Origin(values.pop("origin"))
    nodule = values.pop("nodule_lps")
    return Entry(answer=answer, origin=origin, nodule_lps=None if nodule is None else tuple(nodule), **values)
