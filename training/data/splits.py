"""Which patients train and which validate: made once, stored as a file with a hash, checked before every use.

Validation patients come from the phantoms' held-out pool, so that neither a CT nor a nodule shape is on both sides.
Called from `training.sources`, `training.runs`, `training.data` and `training.systems`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.labels.malignancy import Label

LEAKY = "leaky"
"""The remark that all figures of a leaky split carry."""


class SplitRule(StrEnum):
    """How a recipe splits; `AS_PRINTED` is there to show what papers 1 and 3 measured, and for nothing else."""

    PATIENT = "patient"
    AS_PRINTED = "as_printed"


class SplitBroken(TrainingError):
    """A patient is on both sides, or the file is not the one that was made."""

    code = "split.broken"


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


class Rated(Protocol):
    """A nodule of whatever form, as far as splits ask."""

    @property
    def patient_id(self) -> str:
        """Whose it is."""

    @property
    def label(self) -> Label:
        """By the median rule."""


def strata_of(nodules: Iterable[Rated]) -> dict[str, str]:
    """Stratum of each patient: malignant if any nodule is, else uncertain if any is, else benign."""
    order = [Label.BENIGN, Label.UNCERTAIN, Label.MALIGNANT]
    worst: dict[str, int] = {}
    for nodule in nodules:
        worst[nodule.patient_id] = max(worst.get(nodule.patient_id, 0), order.index(nodule.label))
    return {patient: order[rank].value for patient, rank in worst.items()}


def guard(train: Iterable[str], evaluated: Iterable[str], rule: SplitRule = SplitRule.PATIENT) -> tuple[str, ...]:
    """Refuse to go on if a patient is on both sides, unless the recipe says `split: as_printed`.

    Parameters
    ----------
    train, evaluated : patients
    rule : the recipe's

    Returns
    -------
    remarks that belong to every figure of this split: `LEAKY`, or none

    Raises
    ------
    SplitBroken : names how many patients are
    """
    both = set(train) & set(evaluated)
    if rule is SplitRule.AS_PRINTED:
        return (LEAKY,)
    if both:
        raise SplitBroken(f"{len(both)} patients are on both sides of the split, the first is {min(both)}")
    return ()


def leaky(count: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The leak: samples drawn at random, whoever they are of, so that the test knows what was trained on.

    Paper 1 splits its 5,845 images after flips and turns have made seven of each nodule (877 for the test, and 877 / 7
    is no whole number), paper 3 the lesions of seven patients (NETWORKS 1.7, 3.4). Only for recipes that say
    `split: as_printed`: `guard` refuses what comes of it anywhere else, and marks it `LEAKY` there.

    Parameters
    ----------
    count : of samples: images in all their turns for paper 1, lesions for paper 3
    share : of them that are tested on, in (0, 1)
    seed : the same seed gives the same split

    Returns
    -------
    numbers of the samples to train on and to test on, each ascending
    """
    order = np.random.default_rng(seed).permutation(count)
    tested = round(share * count)
    return np.sort(order[tested:]), np.sort(order[:tested])


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
    SplitBroken : it is no split, the hash does not fit, or a patient is on both sides
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        split, sha256 = Split(**{key: tuple(raw[key]) for key in ("train", "validation", "unused")}), raw["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SplitBroken(f"{path} is not there or no split") from error
    if split.sha256 != sha256:
        raise SplitBroken(f"{path.name} was changed after it was made")
    guard(split.train, (*split.validation, *split.unused))
    return split


def _by_hash(patients: Iterable[str]) -> list[str]:
    return sorted(patients, key=lambda patient: hashlib.sha256(patient.encode()).hexdigest())
