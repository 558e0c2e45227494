"""A whole node as it is shipped: how soon after the last slice results are in the PACS, how many, and STAT in a crowd.

Everything runs in processes of its own, on the embedded default: Triton from its wheel, SQLite, a broker without a
server. Times do not count the quiet time, which nobody can do without. The CTs are SYNTHETIC phantoms, and one real CT
where the shared data are at hand.

Called by `make bench`.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from pydicom import dcmread
from pydicom.uid import generate_uid

from pacs_node.archive.queries.machine import JOBS
from pacs_node.demo.pacs import free_port
from tests.benchmarks.goals import Goal, Measured
from tests.support.nodes import RunningNode, SmallPacs, eventually, running_node, small_pacs
from tests.support.series import Ball, a_chest_series
from training.data import phantom
from training.data.phantom import dicomise

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared/data/ct/LIDC-IDRI-0001"
SEED = 10_001
QUIET_S = 30.0
"""As shipped."""
SHORT_QUIET_S = 2.0
"""Shorter than what it takes to be analysed ahead."""
STUDIES = 8
WAITING = 200
ROUNDS = 3
LONGEST_S = 1800.0
STAT, ROUTINE = "URGENT", "CT1"
DOCUMENTS = 2
"""SEG and SR; a study without findings has only the latter, and is not used here."""


@dataclass(slots=True)
class Site:
    """A node with its PACS."""

    node: RunningNode
    pacs: SmallPacs
    seen: dict[str, str] = field(default_factory=dict)

    def send(self, paths: Sequence[Path], calling_ae_title: str = ROUTINE) -> float:
        """Send a study; when its last slice was acknowledged."""
        self.node.send(paths, calling_ae_title)
        return time.time()

    def answered(self, study_uid: str) -> float:
        """When the last document of a study was in the PACS; waits for it."""
        return max(path.stat().st_mtime for path in eventually(lambda: self._documents(study_uid), LONGEST_S, 0.02))

    def _documents(self, study_uid: str) -> list[Path]:
        for path in self.pacs.folder.glob("*.dcm"):
            if path.name not in self.seen:
                self.seen[path.name] = str(dcmread(path, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)
        paths = [self.pacs.folder / name for name, uid in self.seen.items() if uid == study_uid]
        return paths if len(paths) >= DOCUMENTS else []


@contextmanager
def site(
    folder: Path, *, quiet_s: float, processes: int = 2, models: Path = ROOT / "model_repository"
) -> Iterator[Site]:
    """A node that answers to a PACS; the studies of one sender are STAT."""
    with small_pacs(folder / "pacs") as pacs:
        (folder / "node").mkdir()
        there = pacs.destination
        rules = "\n".join(
            f'[[rule]]\nname = "{name}"\nis_stat = {str(is_stat).lower()}\ndestinations = ["{there.name}"]\n'
            f'calling_ae_title = ["{title}"]'
            for name, title, is_stat in (("stat", STAT, True), ("routine", ROUTINE, False))
        )
        (folder / "node/node.toml").write_text(
            f'data = "{folder / "node/data"}"\nmodels = "{models}"\n'
            f'[scp]\nhost = "127.0.0.1"\nport = {free_port()}\n[settle]\nquiet_s = {quiet_s}\n'
            f'[triton]\nurl = "127.0.0.1:{free_port()}"\n[work]\nprocesses = {processes}\n{rules}\n'
            f'[[destination]]\nname = "{there.name}"\nae_title = "{there.ae_title}"\nhost = "{there.host}"\n'
            f"port = {there.port}\n"
        )
        with running_node(folder / "node") as node:
            yield Site(node, pacs)


def a_phantom(folder: Path) -> list[Path]:
    """SYNTHETIC: 120 slices of 512 x 512, 31 million voxels."""
    return dicomise.write(phantom.make(SEED), folder)


def copied(paths: Sequence[Path], folder: Path) -> tuple[str, list[Path]]:
    """The same slices as those of another study, and its UID."""
    folder.mkdir(parents=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    copies = []
    for number, path in enumerate(paths):
        dataset = dcmread(path)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, frame
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        copies.append(folder / f"{number:04}.dcm")
        dataset.save_as(copies[-1])
    return str(study), copies


def latency(paths: Sequence[Path], *, quiet_s: float, rounds: int = ROUNDS, models: Path | None = None) -> list[float]:
    """Seconds from the last slice to SEG and SR in the PACS, less the quiet time, of one study after the other."""
    seconds = []
    options = {} if models is None else {"models": models}
    with TemporaryDirectory(prefix="whole-") as name, site(Path(name), quiet_s=quiet_s, **options) as here:
        for number in range(rounds):
            study, copies = copied(paths, Path(name, f"ct{number}"))
            sent_at = here.send(copies)
            seconds.append(here.answered(study) - sent_at - quiet_s)
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Studies an hour, from the first result to the last, and the most memory that all processes had at a time."""

    per_hour: float
    most_mb: float


def throughput(
    paths: Sequence[Path], *, processes: int, studies: int = STUDIES, models: Path = ROOT / "model_repository"
) -> Rate:
    """Many studies sent one right after the other."""
    with TemporaryDirectory(prefix="whole-") as name:
        cts = [copied(paths, Path(name, f"ct{number}")) for number in range(studies)]
        with (
            site(Path(name), quiet_s=SHORT_QUIET_S, processes=processes, models=models) as here,
            _memory(here.node) as samples,
        ):
            for _, copies in cts:
                here.send(copies)
            done = sorted(here.answered(study) for study, _ in cts)
    return Rate(per_hour=3600 * (studies - 1) / (done[-1] - done[0]), most_mb=max(samples))


def stat_in_a_crowd(
    paths: Sequence[Path], *, waiting: int = WAITING, rounds: int = ROUNDS, models: Path = ROOT / "model_repository"
) -> tuple[list[float], list[float]]:
    """Seconds from last slice to result of STAT studies, less the quiet time: alone, and while so many others wait."""
    with TemporaryDirectory(prefix="whole-") as name, site(Path(name), quiet_s=SHORT_QUIET_S, models=models) as here:

        def one(tag: str) -> float:
            study, copies = copied(paths, Path(name, tag))
            sent_at = here.send(copies, STAT)
            return here.answered(study) - sent_at - SHORT_QUIET_S

        one("warm")  # models are loaded and compiled once
        alone = [one(f"alone{number}") for number in range(rounds)]
        small = a_chest_series(
            Path(name, "small"), slices=24, spacing_mm=5.0, balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=14)]
        )
        for number in range(waiting):
            here.send(copied(small, Path(name, f"small{number}"))[1])
        eventually(lambda: _planned(here.node) >= waiting, LONGEST_S, 0.2)
        return alone, [one(f"crowd{number}") for number in range(rounds)]


def measured() -> Measured:
    """All of it."""
    with TemporaryDirectory(prefix="whole-") as name:
        paths = a_phantom(Path(name))
        ahead = {"SYNTHETIC phantom, 31 million voxels": (latency(paths, quiet_s=QUIET_S), 4.0)}
        if REAL.exists():
            real = sorted(path for path in REAL.iterdir() if path.suffix == ".dcm")
            ahead["LIDC-IDRI-0001, 35 million voxels"] = (latency(real, quiet_s=QUIET_S), 6.0)
        late = latency(paths, quiet_s=SHORT_QUIET_S)
        rates = {count: throughput(paths, processes=count) for count in (1, 2)}
        alone, crowd = stat_in_a_crowd(paths)
    rows = {what: statistics.median(taken) for what, (taken, _) in ahead.items()} | {
        f"the phantom, quiet for {SHORT_QUIET_S:.0f} s only: nothing is done ahead": statistics.median(late),
        "the phantom, STAT, alone, nothing ahead": statistics.median(alone),
        f"the phantom, STAT, while {WAITING} wait": statistics.median(crowd),
    }
    text = [
        f"From the last slice to SEG and SR in the PACS, less the quiet time ({QUIET_S:.0f} s), seconds",
        *(f"  {what:62} {value:7.1f}" for what, value in rows.items()),
        f"{STUDIES} phantoms sent at once: studies an hour, and MB of all processes together",
        *(f"  {f'workers: {count}':62} {rate.per_hour:7.0f} {rate.most_mb:7.0f}" for count, rate in rates.items()),
    ]
    goals = [
        *(
            Goal(what=f"last slice to results: {what}", value=statistics.median(taken), bound=bound, is_least=False)
            for what, (taken, bound) in ahead.items()
        ),
        Goal(what="studies an hour, 2 workers", value=rates[2].per_hour, bound=600.0),
        Goal(what="2 workers: x 1 worker", value=rates[2].per_hour / rates[1].per_hour, bound=1.0),
        Goal(
            what=f"STAT while {WAITING} wait: x STAT alone",
            value=statistics.median(crowd) / statistics.median(alone),
            bound=1.5,
            is_least=False,
        ),
    ]
    return Measured(text="\n".join(text), goals=tuple(goals))


def _planned(node: RunningNode) -> int:
    return sum(node.states(JOBS).values())


@contextmanager
def _memory(node: RunningNode) -> Iterator[list[float]]:
    """What all processes of a node hold, in MB, several times a second; what they share counts once."""
    samples, stop = [0.0], threading.Event()

    def sample() -> None:
        while not stop.wait(0.3):
            head = psutil.Process(node.process.pid)
            samples.append(sum(map(_pss_mb, [head, *head.children(recursive=True)])))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def _pss_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 1e6
    except psutil.Error:
        return 0.0
