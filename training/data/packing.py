"""From folders of any kind to the one form that recipes train on: `pulmonode-train data pack`.

Series are read one at a time; what cannot be used is named, and nothing is there unless all of it is. Called from
`training.cli.data`.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from training.data import luna16, packs, scans, sides, slices, soft_mask_slices
from training.data.inspection import NothingFound
from training.data.inspection.verdict import Fact
from training.data.kinds import MARKERS, Kind, parts_of
from training.data.known import Refusal
from training.data.luna16 import Nodule
from training.data.packs import NODULES, SLICES, PackWriter
from training.data.reading import drawn_in
from training.data.sides import Sides
from training.data.slices import Slice
from training.data.splits import strata_of
from training.errors import TrainingError

Tell = Callable[[str], object]
Refuse = Callable[[Refusal], object]
Parts = Sequence[tuple[Path, Kind | None]]

DICOM = "dicom"
EARLIER = {Kind.NODULES, Kind.SLICES}
"""Kinds whose patients have their sides already, in the folder above."""


class PackTaken(TrainingError):
    """There is something at that place; a pack is never changed."""

    code = "pack.folder"


class NothingToPack(TrainingError):
    """No nodule of the folders can be trained on."""

    code = "pack.nothing"


class TooFewPatients(TrainingError):
    """Nobody is left to train on, or to validate on."""

    code = "pack.patients"


class SyntheticMixed(TrainingError):
    """Phantoms and real data do not go into one pack; pack the phantoms alone."""

    code = "pack.synthetic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What a pack holds.

    Parameters
    ----------
    nodules, slices : counts by kind of folder that they came from
    backgrounds : how many CTs without reference marks
    sides : who trains and who validates
    counts : (nodules, slices) by patient
    automatic : nodules whose mask no person has made or changed, so it says
    refusals : what was not used
    is_synthetic : phantoms, and nothing else
    """

    nodules: Mapping[str, int]
    slices: Mapping[str, int]
    backgrounds: int
    sides: Sides
    counts: Mapping[str, tuple[int, int]]
    automatic: int
    refusals: tuple[Refusal, ...]
    is_synthetic: bool

    @property
    def about(self) -> dict[str, object]:
        """For the pack itself, and for the runs that are trained on it; no patient is named."""
        return {
            "synthetic": self.is_synthetic,
            "nodules": dict(self.nodules),
            "slices": dict(self.slices),
            "backgrounds": self.backgrounds,
            "automatic": self.automatic,
            "patients": len(self.counts),
            "refusals": dict(Counter(refusal.code for refusal in self.refusals).most_common()),
        }

    def of(self, patients: Sequence[str]) -> tuple[int, int]:
        """Nodules and slices of some patients."""
        found = [self.counts[patient] for patient in patients]
        return sum(nodules for nodules, _ in found), sum(slices for _, slices in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """A nodule as a patch, or one of its slices."""

    series_uid: str
    content: Nodule | Slice
    is_automatic: bool = False

    @property
    def form(self) -> str:
        """Which subfolder it goes to."""
        return SLICES if isinstance(self.content, Slice) else NODULES

    @property
    def origin(self) -> Kind | None:
        """What a nodule is of, whatever folder it comes from by now; None = what the folder is."""
        is_measured = isinstance(self.content, Slice) and self.content.is_measured
        return Kind.RECIST_MASKS if is_measured else None

    @property
    def fact(self) -> Fact:
        """What a split asks for."""
        one = self.content
        return Fact(patient_id=one.patient_id, series_uid=self.series_uid, readers=1, ratings=one.ratings)

    def write(self, writer: PackWriter) -> None:
        """Add it to a pack."""
        if isinstance(self.content, Slice):
            writer.add_slice(self.content, self.series_uid)
        else:
            writer.add_nodule(self.content, is_automatic=self.is_automatic)


def pack(folders: Sequence[Path], out: Path, tell: Tell) -> Packed:
    """Write a pack.

    Parameters
    ----------
    folders : of any kind that `pulmonode-train data check` knows, the shared data and earlier packs among them
    out : must not be there yet
    tell : told now and then how far it is

    Raises
    ------
    PackTaken, NothingFound, NothingToPack, TooFewPatients, SyntheticMixed
    TrainingError : a table of a folder is broken
    """
    if out.exists():
        raise PackTaken(f"{out} is there already; choose another folder, a pack is never changed")
    parts = {folder: parts_of(folder) for folder in folders}
    is_synthetic = _are_synthetic(parts)
    before = dict.fromkeys(at.parent for some in parts.values() for at, kind in some if kind in EARLIER)
    known = [sides.committed(), *map(sides.of_pack, before)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".pack-") as staging:
        new = Path(staging) / out.name
        new.mkdir()
        packed = _written(parts, new, known, _Log(tell, is_synthetic=is_synthetic))
        new.rename(out)
    return packed


def _are_synthetic(parts: Mapping[Path, Parts]) -> bool:
    """Whether all that is to be packed are phantoms."""
    kinds = {kind is Kind.PHANTOMS or packs.is_synthetic(at.parent) for some in parts.values() for at, kind in some}
    if len(kinds) > 1:
        raise SyntheticMixed("some of these folders hold phantoms, others real data; pack the phantoms alone")
    return kinds == {True}


def _written(parts: Mapping[Path, Parts], out: Path, known: Sequence[Sides], log: _Log) -> Packed:
    with PackWriter(out) as writer:
        for folder, some in parts.items():
            before = log.total
            for part, kind in some:
                log.part = part
                log.tell(f"reading {part}")
                for item in READERS[kind](part, log.refuse):
                    if log.counts_once(item, kind):
                        item.write(writer)
            log.tell(f"looking for CTs without marks in {folder}")
            log.backgrounds += _copy_backgrounds(folder, out, log.backgrounds)
            if log.total == before:
                raise NothingFound(f"{folder} holds no CT with marks and none of {', '.join(MARKERS.values())}")
    reasons = "".join(f"; {count} x {code}" for code, count in Counter(one.code for one in log.refusals).items())
    if not log.facts:
        raise NothingToPack(f"nothing in these folders can be trained on{reasons}")
    decision = sides.decided(strata_of(log.facts), known)
    if not (decision.split.train and decision.split.validation):
        raise TooFewPatients(
            f"of {len(strata_of(log.facts))} patients {len(decision.split.train)} would train and "
            f"{len(decision.split.validation)} validate{reasons}; add patients, or pack the shared data with them"
        )
    sides.save(decision, out)
    packed = log.packed(decision)
    (out / packs.ABOUT).write_text(json.dumps(packed.about, indent=2) + "\n", encoding="utf-8")
    return packed


class _Log:
    """What has been read so far."""

    def __init__(self, tell: Tell, *, is_synthetic: bool) -> None:
        self.tell = tell
        self.part = Path()
        self.backgrounds = 0
        self.automatic = 0
        self.refusals: list[Refusal] = []
        self.facts: list[Fact] = []
        self._is_synthetic = is_synthetic
        self._sources: dict[str, Counter[str]] = {NODULES: Counter(), SLICES: Counter()}
        self._patients: dict[str, Counter[str]] = {NODULES: Counter(), SLICES: Counter()}
        self._owners: dict[tuple[str, str], Path] = {}

    @property
    def total(self) -> int:
        """How much was found, whether it can be used or not."""
        return len(self.facts) + len(self.refusals) + self.backgrounds

    def refuse(self, refusal: Refusal) -> None:
        """Note what is not used."""
        self.refusals.append(refusal)

    def counts_once(self, item: _Item, kind: Kind | None) -> bool:
        """Note a nodule or slice; false if its series was read from another folder before."""
        if self._owners.setdefault((item.form, item.series_uid), self.part) != self.part:
            text = f"its {item.form} are packed from another folder already"
            self.refuse(Refusal(code="pack.twice", subject=item.series_uid, text=text))
            return False
        self.facts.append(item.fact)
        self.automatic += item.is_automatic
        self._sources[item.form][item.origin or kind or DICOM] += 1
        self._patients[item.form][item.fact.patient_id] += 1
        self.tell(f"{len(self.facts)} nodules and slices, {len(self.refusals)} refusals, reading {self.part}")
        return True

    def packed(self, decision: Sides) -> Packed:
        """All of it."""
        return Packed(
            nodules=self._sources[NODULES],
            slices=self._sources[SLICES],
            backgrounds=self.backgrounds,
            sides=decision,
            counts={p: (self._patients[NODULES][p], self._patients[SLICES][p]) for p in strata_of(self.facts)},
            automatic=self.automatic,
            refusals=tuple(self.refusals),
            is_synthetic=self._is_synthetic,
        )


def _from_series(folder: Path, refuse: Refuse) -> Iterator[_Item]:
    for one in drawn_in(folder, refuse):
        yield _Item(series_uid=one.series_uid, content=one.patch, is_automatic=one.is_automatic)
        if one.largest is not None:
            yield _Item(series_uid=one.series_uid, content=one.largest)


def _from_luna16_nodules(folder: Path, refuse: Refuse) -> Iterator[_Item]:
    yield from (_Item(series_uid=nodule.series_uid, content=nodule) for nodule in luna16.load(folder))


def _from_lidc_slices(folder: Path, refuse: Refuse) -> Iterator[_Item]:
    series = {f"lidc:{number}": row["series_uid"] for number, row in enumerate(slices.lidc_rows(folder))}
    yield from (_Item(series_uid=series[one.case_id], content=one) for one in slices.load_lidc(folder))


def _from_nodules(folder: Path, refuse: Refuse) -> Iterator[_Item]:
    rows = packs.rows_of(folder / packs.NODULES_TABLE)
    for row, nodule in zip(rows, packs.load_nodules(folder), strict=True):
        yield _Item(series_uid=nodule.series_uid, content=nodule, is_automatic=row["is_automatic"])


def _from_slices(folder: Path, refuse: Refuse) -> Iterator[_Item]:
    rows = packs.rows_of(folder / packs.SLICES_TABLE)
    for row, one in zip(rows, packs.load_slices(folder), strict=True):
        yield _Item(series_uid=row["series_uid"], content=one)


def _from_recist_masks(folder: Path, refuse: Refuse) -> Iterator[_Item]:
    yield from (_Item(series_uid=uid, content=one) for uid, one in soft_mask_slices.slices_of(folder, refuse))


READERS: Mapping[Kind | None, Callable[[Path, Refuse], Iterator[_Item]]] = {
    **dict.fromkeys((None, *Kind), _from_series),
    Kind.LUNA16_NODULES: _from_luna16_nodules,
    Kind.LIDC_SLICES: _from_lidc_slices,
    Kind.NODULES: _from_nodules,
    Kind.SLICES: _from_slices,
    Kind.RECIST_MASKS: _from_recist_masks,
}


def _copy_backgrounds(folder: Path, out: Path, first: int) -> int:
    """Those of an earlier pack, or the CTs of the shared data; nobody looked at other CTs without marks."""
    count = 0
    before = map(scans.read, sorted((folder / packs.BACKGROUNDS).glob("*.npz")))
    for count, scan in enumerate(chain(before, scans.background_scans(folder / "ct")), start=1):
        (out / packs.BACKGROUNDS).mkdir(exist_ok=True)
        scans.save(scan, out / packs.BACKGROUNDS / f"{first + count:04}.npz")
    return count
