"""Which patients train and which validate: made once, stored as a file with a hash, checked before every use.

Validation patients come from the phantoms' held-out pool, so that neither a CT nor a nodule shape is on both sides.
Called from `training.cli`, `training.data.bank` and `training.evaluation`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.data.luna16 import Nodule
from training.labels.malignancy import Label


class SplitBroken(Exception):
    """A patient is on both sides, or the file is not the one that was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Patients by purpose; `unused` ones are on no side."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    unused: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of the lists, independent of how the file is laid out."""
        content = json.dumps([self.train, self.validation, self.unused])
        return hashlib.sha256(content.encode()).hexdigest()


def make_split(strata: Mapping[str, str], is_held_out: Mapping[str, bool]) -> Split:
    """Split patients so that each stratum has the same share of validation patients.

    Parameters
    ----------
    strata : stratum by patient
    is_held_out : by patient; only these may validate, and none of them trains

    Returns
    -------
    sorted lists; held-out patients that are too many in their stratum are `unused`
    """
    groups = {name: sorted(p for p, stratum in strata.items() if stratum == name) for name in set(strata.values())}
    held_out = {name: [p for p in patients if is_held_out[p]] for name, patients in groups.items()}
    share = min(len(held_out[name]) / len(groups[name]) for name in groups)
    validation = [p for name in groups for p in _by_hash(held_out[name])[: round(share * len(groups[name]))]]
    unused = sorted({p for patients in held_out.values() for p in patients} - set(validation))
    train = sorted(p for p in strata if not is_held_out[p])
    return Split(train=tuple(train), validation=tuple(sorted(validation)), unused=tuple(unused))


def strata_of(nodules: Iterable[Nodule]) -> dict[str, str]:
    """Stratum of each patient: malignant if any nodule is, else uncertain if any is, else benign."""
    order = [Label.BENIGN, Label.UNCERTAIN, Label.MALIGNANT]
    worst: dict[str, int] = {}
    for nodule in nodules:
        worst[nodule.patient_id] = max(worst.get(nodule.patient_id, 0), order.index(nodule.label))
    return {patient: order[rank].value for patient, rank in worst.items()}


def guard(train: Iterable[str], evaluated: Iterable[str]) -> None:
    """Refuse to go on if a patient is on both sides.

    Raises
    ------
    SplitBroken : names how many patients are
    """
    both = set(train) & set(evaluated)
    if both:
        raise SplitBroken(f"{len(both)} patients are on both sides of the split, the first is {min(both)}")


def save(split: Split, path: Path) -> None:
    """Write the split with its hash."""
    content = {
        "sha256": split.sha256,
        "train": split.train,
        "validation": split.validation,
        "unused": split.unused,
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Split:
    """Read and check a split.

    Raises
    ------
    SplitBroken : the hash does not fit, or a patient is on both sides
    """
    raw = json.loads(path.read_text(encoding="utf-8"))
    split = Split(**{key: tuple(raw[key]) for key in ("train", "validation", "unused")})
    if split.sha256 != raw["sha256"]:
        raise SplitBroken(f"{path.name} was changed after it was made")
    guard(split.train, (*split.validation, *split.unused))
    return split


def _by_hash(patients: Iterable[str]) -> list[str]:
    return sorted(patients, key=lambda patient: hashlib.sha256(patient.encode()).hexdigest())
