"""Phantoms as they were written: a DICOM series with `truth.json` beside it. Synthetic, and to be called so.

The voxels that a nodule fills are not kept in the folder; only centre and diameter are. `remade` has them: it makes the
phantom again, and the UID of the series, which derives from the pixels, proves that it is the same. Called from
`training.data.inspection` and `training.data.reading`; recipes make their own phantoms (`training.data.phantom`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.eligibility import Eligibility
from training.data.ct_series import eligibility_of, refusal_of, series_below, volume_of
from training.data.known import KnownNodule, KnownSeries, Refusal
from training.data.phantom import PROFILES, dicomise, make
from training.errors import TrainingError

TRUTH = "truth.json"

RESERVED_SEEDS = frozenset({*range(1, 13), *range(9001, 9009), *range(10_001, 10_017)})
"""Phantoms that JNSC's recipes train on, and those that they are tuned and measured on, whatever the data."""


class PhantomOther(TrainingError):
    """Made anew it comes out otherwise, so nobody knows which voxels are nodules; write it again with this version."""

    code = "phantom.other"


class PhantomReserved(TrainingError):
    """Recipes train or are measured on the phantom of this seed; choose another seed."""

    code = "phantom.reserved"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhantomSeries:
    """A phantom on disk; `read` and `remade` give its voxels. Each seed is a patient of its own."""

    patient_id: str
    series_uid: str
    seed: int
    profile: str
    eligibility: Eligibility
    nodules: tuple[KnownNodule, ...]


def find(folder: Path) -> Iterator[PhantomSeries | Refusal]:
    """All phantoms in a folder and below; pixels are not read."""
    for path in sorted(folder.rglob(TRUTH)):
        try:
            yield _found(path, json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError):
            text = f"{TRUTH} is not as a phantom writes it"
            yield Refusal(code="phantom.truth", subject=path.parent.name, text=text)


def read(phantom: PhantomSeries) -> KnownSeries:
    """The voxels of a phantom and its nodules, which have no mask.

    Raises
    ------
    SeriesUnreadable : the pixels cannot be read
    """
    return KnownSeries(
        patient_id=phantom.patient_id,
        series_uid=phantom.series_uid,
        volume=volume_of(phantom.eligibility),
        nodules=phantom.nodules,
    )


def remade(phantom: PhantomSeries) -> KnownSeries:
    """The phantom made again, with the voxels of its nodules.

    Raises
    ------
    PhantomOther, PhantomReserved : see there
    """
    if phantom.seed in RESERVED_SEEDS:
        raise PhantomReserved(
            f"recipes train or are measured on the phantom of seed {phantom.seed}; choose another seed"
        )
    made = make(phantom.seed, PROFILES[phantom.profile])
    if dicomise.identity(made).series_uid != phantom.series_uid:
        raise PhantomOther("made anew it comes out otherwise: write it again with this version")
    nodules = tuple(
        KnownNodule(
            nodule_id=f"{phantom.patient_id}:{one.number}",
            patient_id=phantom.patient_id,
            series_uid=phantom.series_uid,
            centre_lps=one.centre_lps,
            diameter_mm=one.diameter_mm,
            mask=one.mask,
        )
        for one in made.nodules
    )
    return KnownSeries(
        patient_id=phantom.patient_id, series_uid=phantom.series_uid, volume=made.volume, nodules=nodules
    )


def _found(path: Path, truth: dict[str, Any]) -> PhantomSeries | Refusal:
    uid, seed, profile = str(truth["series_uid"]), int(truth["seed"]), str(truth["profile"])
    if profile not in PROFILES:
        raise ValueError(profile)
    patient = f"phantom-{seed}"
    nodules = tuple(_nodule(patient, uid, entry) for entry in truth["nodules"])
    series = [one for one in series_below(path.parent) if one.series_instance_uid == uid]
    if not series:
        return Refusal(code="phantom.series-missing", subject=path.parent.name, text="its series is not beside it")
    eligibility = eligibility_of(series[0])
    if eligibility.grid is None:
        return refusal_of(series[0], eligibility)
    return PhantomSeries(
        patient_id=patient, series_uid=uid, seed=seed, profile=profile, eligibility=eligibility, nodules=nodules
    )


def _nodule(patient_id: str, series_uid: str, entry: dict[str, Any]) -> KnownNodule:
    x, y, z = map(float, entry["centre_lps"])
    return KnownNodule(
        nodule_id=f"{patient_id}:{int(entry['number'])}",
        patient_id=patient_id,
        series_uid=series_uid,
        centre_lps=(x, y, z),
        diameter_mm=float(entry["diameter_mm"]),
    )
