"""What an inspection says: counts, refusals, remarks and the split that would be made. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data import splits
from training.data.folds import COUNT, make_folds
from training.data.kinds import Kind
from training.data.known import KnownNodule, Refusal
from training.data.splits import Split
from training.labels.malignancy import Label, label


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A nodule as far as it is counted.

    Parameters
    ----------
    patient_id, series_uid : whose it is
    readers : how many outlines or masks of it there are
    ratings : malignancy 1..5
    """

    patient_id: str
    series_uid: str
    readers: int
    ratings: tuple[int, ...] = ()

    @property
    def label(self) -> Label:
        """By the median rule."""
        return label(self.ratings)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """How the patients would be split, and how many nodules fall to each side.

    Parameters
    ----------
    origin : in words
    sha256 : of the split
    train, validation, unused : patients and nodules of each
    """

    origin: str
    sha256: str
    train: tuple[int, int]
    validation: tuple[int, int]
    unused: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What there is of one kind.

    Parameters
    ----------
    folder, kind : where, and what
    series, nodules, patients : counts of what can be used
    readers : (number of readers, nodules with so many), ascending; 0 = measured or marked, but not drawn
    labels : (label by the median rule, nodules); nobody rated = uncertain
    refusals : what cannot be used
    remarks : what else to know
    split : None if there are too few patients
    """

    folder: Path
    kind: Kind
    series: int
    nodules: int
    patients: int
    readers: tuple[tuple[int, int], ...]
    labels: tuple[tuple[Label, int], ...]
    refusals: tuple[Refusal, ...]
    remarks: tuple[str, ...]
    split: SplitPlan | None

    @property
    def is_usable(self) -> bool:
        """Whether there is anything to learn from."""
        return self.nodules > 0

    @property
    def refusals_by_code(self) -> dict[str, int]:
        """How often each code was given, the most frequent first."""
        return dict(Counter(refusal.code for refusal in self.refusals).most_common())


def fact_of(nodule: KnownNodule) -> Fact:
    """A known nodule as it is counted."""
    drawn = len(nodule.readers) or int(nodule.mask is not None)
    return Fact(patient_id=nodule.patient_id, series_uid=nodule.series_uid, readers=drawn, ratings=nodule.ratings)


def concluded(
    folder: Path,
    kind: Kind,
    found: Sequence[Fact | Refusal],
    *,
    series: Iterable[str] = (),
    remarks: Iterable[str] = (),
    split: tuple[str, Split] | None = None,
) -> Inspection:
    """Count what was found.

    Parameters
    ----------
    found : all nodules that can be used, and what cannot
    series : UIDs of series that can be used, if some of them have no nodule
    split : the split that is there already, and what it is called; if None, five folds are made
    """
    facts = [one for one in found if isinstance(one, Fact)]
    return Inspection(
        folder=folder,
        kind=kind,
        series=len({fact.series_uid for fact in facts}.union(series)),
        nodules=len(facts),
        patients=len({fact.patient_id for fact in facts}),
        readers=tuple(sorted(Counter(fact.readers for fact in facts).items())),
        labels=tuple((one, sum(fact.label is one for fact in facts)) for one in Label),
        refusals=tuple(one for one in found if isinstance(one, Refusal)),
        remarks=tuple(remarks),
        split=_plan(facts, *split) if split is not None else _folds_plan(facts),
    )


def _folds_plan(facts: Sequence[Fact]) -> SplitPlan | None:
    strata = splits.strata_of(facts)
    if len(strata) < 2:
        return None
    folds = make_folds(strata, min(COUNT, len(strata)))
    return _plan(facts, f"the first of {len(folds.patients)} folds by patient", folds.split(0))


def _plan(facts: Sequence[Fact], origin: str, split: Split) -> SplitPlan:
    here = {fact.patient_id for fact in facts}

    def side(patients: Sequence[str]) -> tuple[int, int]:
        kept = here.intersection(patients)
        return len(kept), sum(fact.patient_id in kept for fact in facts)

    return SplitPlan(
        origin=origin,
        sha256=split.sha256,
        train=side(split.train),
        validation=side(split.validation),
        unused=side(split.unused),
    )
