"""Phantoms as they were written: a DICOM series with `truth.json` beside it. Synthetic, and to be called so.

The voxels that a nodule fills are not kept in the folder; only centre and diameter are. Called from
`training.data.inspection`; training makes its phantoms itself (`training.data.phantom`).
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

TRUTH = "truth.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhantomSeries:
    """A phantom on disk; `read` gives its voxels. Each seed is a patient of its own."""

    patient_id: str
    series_uid: str
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


def _found(path: Path, truth: dict[str, Any]) -> PhantomSeries | Refusal:
    uid, patient = str(truth["series_uid"]), f"phantom-{int(truth['seed'])}"
    nodules = tuple(_nodule(patient, uid, entry) for entry in truth["nodules"])
    series = [one for one in series_below(path.parent) if one.series_instance_uid == uid]
    if not series:
        return Refusal(code="phantom.series-missing", subject=path.parent.name, text="its series is not beside it")
    eligibility = eligibility_of(series[0])
    if eligibility.grid is None:
        return refusal_of(series[0], eligibility)
    return PhantomSeries(patient_id=patient, series_uid=uid, eligibility=eligibility, nodules=nodules)


def _nodule(patient_id: str, series_uid: str, entry: dict[str, Any]) -> KnownNodule:
    x, y, z = map(float, entry["centre_lps"])
    return KnownNodule(
        nodule_id=f"{patient_id}:{int(entry['number'])}",
        patient_id=patient_id,
        series_uid=series_uid,
        centre_lps=(x, y, z),
        diameter_mm=float(entry["diameter_mm"]),
    )
