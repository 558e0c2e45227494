"""Patients in folds: made once, stored with a hash, or taken from a table such as LUNA16's official one.

Called from `training.data.sides`, `training.data.inspection` and `training.sources`.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.data.splits import Split, SplitBroken

COUNT = 5
FOLD_COLUMNS = ("fold", "subset")
PATIENT, SERIES = "patient_id", "seriesuid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """Patients by fold; each patient is in one fold, sorted."""

    patients: tuple[tuple[str, ...], ...]

    @property
    def sha256(self) -> str:
        """Hash of the lists, independent of how the file is laid out."""
        return hashlib.sha256(json.dumps(self.patients).encode()).hexdigest()

    def split(self, fold: int) -> Split:
        """Validate on a fold, from 0, and train on all others."""
        train = sorted(p for number, part in enumerate(self.patients) if number != fold for p in part)
        return Split(train=tuple(train), validation=self.patients[fold])


def make_folds(strata: Mapping[str, str], count: int = COUNT) -> Folds:
    """Deal patients to folds so that each stratum is spread evenly; the same patients always come out the same.

    Parameters
    ----------
    strata : stratum by patient, `training.data.splits.strata_of`
    count : of folds, from 2 to the number of patients

    Raises
    ------
    SplitBroken : too few patients
    """
    if not 2 <= count <= len(strata):
        raise SplitBroken(f"{len(strata)} patients cannot be dealt to {count} folds")
    return Folds(patients=deal(strata, count))


def deal(strata: Mapping[str, str], count: int = COUNT) -> tuple[tuple[str, ...], ...]:
    """The same for any number of patients; the last parts are empty if there are too few."""
    order = sorted(strata, key=lambda patient: (strata[patient], hashlib.sha256(patient.encode()).hexdigest()))
    return tuple(tuple(sorted(order[first::count])) for first in range(count))


def save(folds: Folds, path: Path) -> None:
    """Write the folds with their hash."""
    content = {"sha256": folds.sha256, "folds": folds.patients}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Folds:
    """Read and check folds.

    Raises
    ------
    SplitBroken : they are no folds, the hash does not fit, or a patient is in two folds
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        folds, sha256 = Folds(patients=tuple(tuple(part) for part in raw["folds"])), raw["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SplitBroken(f"{path} is not there or holds no folds") from error
    if folds.sha256 != sha256:
        raise SplitBroken(f"{path.name} was changed after it was made")
    return _checked(folds)


def read_table(path: Path, patients: Mapping[str, str]) -> Folds:
    """Folds from a CSV: a column `patient_id` or `seriesuid`, and a column `fold` or `subset` of whole numbers.

    Parameters
    ----------
    patients : patient by series; a series that is not in it is its own patient

    Raises
    ------
    SplitBroken : not such a table, or a patient is in two folds
    """
    with path.open(newline="", encoding="utf-8-sig") as lines:
        table = csv.DictReader(lines)
        columns = table.fieldnames or ()
        who = next((name for name in (PATIENT, SERIES) if name in columns), None)
        where = next((name for name in FOLD_COLUMNS if name in columns), None)
        if who is None or where is None:
            raise SplitBroken(f"{path.name} needs a column {PATIENT} or {SERIES}, and a column fold or subset")
        parts: dict[str, set[str]] = defaultdict(set)
        for row in table:
            parts[row[where].strip()].add(patients.get(row[who], row[who]) if who == SERIES else row[who])
    if not all(name.isdigit() for name in parts):
        raise SplitBroken(f"the column {where} of {path.name} must hold whole numbers")
    return _checked(Folds(patients=tuple(tuple(sorted(parts[name])) for name in sorted(parts, key=int))))


def _checked(folds: Folds) -> Folds:
    count = sum(map(len, folds.patients))
    both = count - len({patient for part in folds.patients for patient in part})
    if both:
        raise SplitBroken(f"{both} patients are in more than one fold")
    return folds
