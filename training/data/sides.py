"""Which patients of a pack train, which validate, and in which fold each is. Pure but for reading what was decided.

A patient who has a side keeps it: the committed splits of the shared data come first, then earlier packs. All others
are dealt to five folds by hash and stratum, and the first fold validates. Called from `training.data.packing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from training.data import folds, splits
from training.data.dicom_seg import pseudonym
from training.data.folds import COUNT, Folds, deal
from training.data.packs import FOLDS, SPLIT
from training.data.splits import Split

HERE = Path(__file__).parent
COMMITTED_SPLITS = (HERE / "luna16_split.json", HERE / "lidc_split.json")
COMMITTED_FOLDS = HERE / "folds.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Patients by purpose, and by fold."""

    split: Split
    folds: Folds


def committed() -> Sides:
    """Those of the shared data, of both kinds together; each patient also by the pseudonym that a PACS's SEG give him.

    Raises
    ------
    SplitBroken : a file was changed
    """
    split = together([splits.load(path) for path in COMMITTED_SPLITS])
    dealt = folds.load(COMMITTED_FOLDS)
    return Sides(
        split=Split(
            train=_also_hidden(split.train),
            validation=_also_hidden(split.validation),
            unused=_also_hidden(split.unused),
        ),
        folds=Folds(patients=tuple(map(_also_hidden, dealt.patients))),
    )


def of_pack(folder: Path) -> Sides:
    """Those of a pack.

    Raises
    ------
    SplitBroken : a file was changed
    """
    return Sides(split=splits.load(folder / SPLIT), folds=folds.load(folder / FOLDS))


def together(known: Sequence[Split]) -> Split:
    """Several splits as one: who validates anywhere validates, who trains anywhere else trains.

    Raises
    ------
    SplitBroken : somebody trains here and validates there
    """
    train, validation, unused = (
        {patient for split in known for patient in side(split)}
        for side in (attrgetter("train"), attrgetter("validation"), attrgetter("unused"))
    )
    splits.guard(train, validation)
    return Split(
        train=tuple(sorted(train)),
        validation=tuple(sorted(validation)),
        unused=tuple(sorted(unused - train - validation)),
    )


def decided(strata: Mapping[str, str], earlier: Sequence[Sides]) -> Sides:
    """The sides of some patients.

    Parameters
    ----------
    strata : stratum by patient, `training.data.splits.strata_of`
    earlier : what was decided before; of several that know a patient the first counts
    """
    side: dict[str, str] = {}
    fold: dict[str, int] = {}
    for one in reversed(earlier):
        for name in ("train", "validation", "unused"):
            side |= dict.fromkeys(getattr(one.split, name), name)
        for number, part in enumerate(one.folds.patients):
            fold |= dict.fromkeys(part, number)
    for number, part in enumerate(deal({patient: strata[patient] for patient in strata if patient not in side})):
        side |= dict.fromkeys(part, "train" if number else "validation")
        fold |= dict.fromkeys(part, number)
    patients = sorted(strata)
    return Sides(
        split=Split(
            train=tuple(p for p in patients if side[p] == "train"),
            validation=tuple(p for p in patients if side[p] == "validation"),
            unused=tuple(p for p in patients if side[p] == "unused"),
        ),
        folds=Folds(patients=tuple(tuple(p for p in patients if fold[p] == number) for number in range(COUNT))),
    )


def save(sides: Sides, folder: Path) -> None:
    """Write them into a pack."""
    splits.save(sides.split, folder / SPLIT)
    folds.save(sides.folds, folder / FOLDS)


def _also_hidden(patients: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({*patients, *map(pseudonym, patients)}))
