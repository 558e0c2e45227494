"""Slices in and next to nodules, and a small "clinical set" to transfer to (paper 3). Called from `training.systems`.

The paper's clinical set (7 patients, 56 lesions) is private. Here it is seven patients of the training side with many
nodules, as the paper's had (eight lesions each): chosen by hash, never pre-trained on. They are LUNA16 patients like
all others, so `Look.LOW_DOSE_SHARP` can make their slices look as if they came from another scanner: a synthetic change
of real slices, and to be called so wherever a figure depends on it. Validation patients are not touched.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.ndimage import gaussian_filter

from inference.volume import BoolArray, HuArray
from training.data.luna16 import EDGE as PATCH_EDGE
from training.data.luna16 import Nodule
from training.data.slices import SPACING_MM, Samples, Slice, samples_of, slice_of
from training.data.splits import guard
from training.errors import DataLacking

PATIENTS = 7
TEST_SHARE = 11 / 56
"""Of the lesions (paper 3, section 4.1)."""

FEWEST = 2
"""One to train on and one to test on."""

MINIMUM_NODULES = 4
"""Of a patient who may be in the set; 35 of the 312 training patients have as many."""

GAP = 1
"""Slices (of 1 mm) that are left out between a nodule and the empty slices next to it: the CTs' own slices are up to
2.5 mm thick, so that the first one still shows some of the nodule."""

NOISE_HU, SHARPENING, SHARPENING_MM = 60.0, 0.5, 1.0
"""Low dose, sharp kernel: noise 40-90 HU, unsharp masking by 0.4-0.7 at 1 mm (NETWORKS.md section 8.3)."""


class Look(StrEnum):
    """How the clinical slices look."""

    AS_SCANNED = "as scanned"
    LOW_DOSE_SHARP = "synthetic: low dose, sharp kernel"


class Parting(StrEnum):
    """How clinical training and test lesions are parted. The paper's 11 test lesions are of its training patients."""

    BY_PATIENT = "by patient"
    AS_PRINTED = "by lesion, as printed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicalSet:
    """Lesions to transfer to, and lesions to test that on."""

    train: tuple[Nodule, ...]
    test: tuple[Nodule, ...]


def nodules_of(nodules: Iterable[Nodule], patients: Iterable[str]) -> tuple[Nodule, ...]:
    """The nodules of some patients."""
    chosen = set(patients)
    return tuple(nodule for nodule in nodules if nodule.patient_id in chosen)


def without_clinical(nodules: Sequence[Nodule]) -> tuple[Nodule, ...]:
    """The nodules that may be pre-trained on: those of patients who are not clinical.

    Parameters
    ----------
    nodules : of the training side
    """
    clinical = set(clinical_patients(nodules))
    return tuple(nodule for nodule in nodules if nodule.patient_id not in clinical)


def clinical_patients(nodules: Iterable[Nodule]) -> tuple[str, ...]:
    """The seven patients, in the order of their hash.

    Parameters
    ----------
    nodules : of the training side
    """
    lesions: dict[str, int] = defaultdict(int)
    for nodule in nodules:
        lesions[nodule.patient_id] += 1
    return tuple(sorted((p for p, count in lesions.items() if count >= MINIMUM_NODULES), key=_hash)[:PATIENTS])


def clinical_set(nodules: Sequence[Nodule], parting: Parting) -> ClinicalSet:
    """Part the lesions of the clinical patients.

    Parameters
    ----------
    nodules : of the training side
    parting : by patient, the first ones in the order of their hash are tested on until they have `TEST_SHARE` of the
        lesions; as printed, the first lesions are

    Raises
    ------
    DataLacking : there are no two such patients
    """
    patients = clinical_patients(nodules)
    if len(patients) < FEWEST:
        raise DataLacking(
            f"its clinical set needs {FEWEST} training patients with {MINIMUM_NODULES} nodules or more, "
            f"there are {len(patients)}; add patients, or pack the shared data with them"
        )
    lesions = nodules_of(nodules, patients)
    wanted = TEST_SHARE * len(lesions)
    if parting is Parting.AS_PRINTED:
        order = sorted(lesions, key=lambda nodule: _hash(nodule.nodule_id))
        return ClinicalSet(train=tuple(order[round(wanted) :]), test=tuple(order[: round(wanted)]))
    first = next(n for n in range(len(patients) + 1) if len(nodules_of(lesions, patients[:n])) >= wanted)
    guard(patients[first:], patients[:first])
    return ClinicalSet(train=nodules_of(lesions, patients[first:]), test=nodules_of(lesions, patients[:first]))


def around_all(nodules: Iterable[Nodule], *, drawn: int | None = None, empty: int | None = None) -> tuple[Slice, ...]:
    """`slices_around` of each nodule."""
    return tuple(one for nodule in nodules for one in slices_around(nodule, drawn=drawn, empty=empty))


def slices_around(nodule: Nodule, *, drawn: int | None = None, empty: int | None = None) -> tuple[Slice, ...]:
    """The largest slice of a nodule, more slices of it, and slices next to it without any nodule.

    Parameters
    ----------
    drawn : how many slices at most that show the nodule, evenly over its height; None = all
    empty : how many at most that show none, above and below in turn; None = as many as show the nodule
    """
    heights = np.flatnonzero(nodule.mask.any(axis=(1, 2)))
    largest = int(nodule.mask.sum(axis=(1, 2)).argmax())
    others = heights[heights != largest]
    count = len(others) if drawn is None else min(drawn - 1, len(others))
    evenly = ((np.arange(count) + 0.5) * len(others) / max(1, count)).astype(int)
    shown = [largest, *(int(k) for k in others[evenly])]
    is_free: BoolArray = ~np.any(nodule.mask | nodule.others, axis=(1, 2))
    low, high = int(heights[0]) - GAP, int(heights[-1]) + GAP
    free = [k for step in range(1, PATCH_EDGE) for k in (low - step, high + step) if 0 <= k < PATCH_EDGE and is_free[k]]
    return tuple(slice_of(nodule, k) for k in [*shown, *free[: len(shown) if empty is None else empty]])


def looking(slices: Iterable[Slice], look: Look) -> tuple[Slice, ...]:
    """The slices with another look; the same each time."""
    if look is Look.AS_SCANNED:
        return tuple(slices)
    return tuple(dataclasses.replace(one, image_hu=_low_dose_sharp(one.image_hu, one.case_id)) for one in slices)


def samples_with_presence(slices: Sequence[Slice]) -> Samples:
    """Slices as arrays; malignancy is not known where no nodule is shown."""
    samples = samples_of(slices)
    is_present_N = samples.masks_NJI.any(axis=(1, 2))
    malignant_N = np.where(is_present_N, samples.malignant_N, np.float32(np.nan))
    return dataclasses.replace(samples, malignant_N=malignant_N)


def _low_dose_sharp(image_hu: HuArray, name: str) -> HuArray:
    """Sharper edges, and the noise of a sharp kernel: white noise less 0.9 of its smoothed self (NETWORKS.md 8.3).

    Parameters
    ----------
    name : decides the noise
    """
    rng = np.random.default_rng(int(_hash(name), 16))
    values_hu = image_hu.astype(np.float32)
    sharp_hu = values_hu + SHARPENING * (values_hu - gaussian_filter(values_hu, SHARPENING_MM / SPACING_MM))
    white = rng.standard_normal(image_hu.shape).astype(np.float32)
    noise = white - 0.9 * gaussian_filter(white, 0.9)
    changed: HuArray = np.clip(np.rint(sharp_hu + NOISE_HU * noise / noise.std()), -1024, 3071).astype(np.int16)
    return changed


def _hash(name: str) -> str:
    return hashlib.sha256(f"clinical {name}".encode()).hexdigest()
