"""What was found in whole scans, on disk as it comes, so that an interrupted evaluation goes on where it was.

froc_candidates.csv    seriesuid, coordX, coordY, coordZ, probability: LUNA16's own form, for its script, too
froc_scans.csv         seriesuid, checkpoint, failure, candidates: a scan is done when its row is here

Called from `training.cli.froc`.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from inference.volume import Volume
from training.data import luna16_mhd
from training.data.known import Refusal
from training.data.luna16_mhd import Luna16Scan, VolumeUnreadable
from training.evaluation.luna16_scans import Found
from training.metrics.luna16 import Mark

CANDIDATES, SCANS = "froc_candidates.csv", "froc_scans.csv"
COLUMNS = {
    CANDIDATES: ("seriesuid", "coordX", "coordY", "coordZ", "probability"),
    SCANS: ("seriesuid", "checkpoint", "failure", "candidates"),
}


class CandidateTable:
    """The scans that one checkpoint was run on, by series, each with what was found.

    Rows of other checkpoints, and those of a scan that was not finished, are dropped when the table is opened.
    """

    def __init__(self, folder: Path, checkpoint: str) -> None:
        self._folder, self._checkpoint = folder, checkpoint
        self.done = _finished(folder, checkpoint)
        for name in COLUMNS:
            rows = [row for series_uid, found in self.done.items() for row in self._rows(name, series_uid, found)]
            with (folder / f"new-{name}").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([COLUMNS[name], *rows])
            (folder / f"new-{name}").replace(folder / name)

    def add(self, series_uid: str, found: Found) -> None:
        """Keep what was found in a scan: candidates first, as the row in the other file says that they are whole."""
        for name in COLUMNS:
            with (self._folder / name).open("a", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(self._rows(name, series_uid, found))
        self.done[series_uid] = found

    def _rows(self, name: str, series_uid: str, found: Found) -> Sequence[tuple[object, ...]]:
        if name == SCANS:
            return [(series_uid, self._checkpoint, found.failure, len(found.marks))]
        return [(series_uid, *mark.centre_mm, mark.score) for mark in found.marks]


def detect(waiting: Iterable[Luna16Scan], table: CandidateTable, find: Callable[[Volume], Found]) -> list[Refusal]:
    """Read scans, one after the other, and keep what is found in each; those without voxels are refused."""
    broken = []
    for scan in waiting:
        try:
            volume = luna16_mhd.read(scan).volume
        except VolumeUnreadable as error:
            broken.append(Refusal(code=error.code, subject=scan.series_uid, text=str(error)))
        else:
            table.add(scan.series_uid, find(volume))
    return broken


def _finished(folder: Path, checkpoint: str) -> dict[str, Found]:
    marks: dict[str, list[Mark]] = defaultdict(list)
    for series_uid, x, y, z, score in _rows_of(folder / CANDIDATES):
        marks[series_uid].append(Mark(centre_mm=(float(x), float(y), float(z)), score=float(score)))
    return {
        series_uid: Found(marks=tuple(marks[series_uid]), failure=failure)
        for series_uid, made_by, failure, count in _rows_of(folder / SCANS)
        if made_by == checkpoint and int(count) == len(marks[series_uid])
    }


def _rows_of(path: Path) -> list[list[str]]:
    """The rows below the header; a last one that was cut off is left out."""
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return list(csv.reader(whole.decode().splitlines()))[1:]
