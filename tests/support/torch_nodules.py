"""A data folder with synthetic LUNA16 nodules only: balls of soft tissue in noisy lung."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.support.torch_networks import a_bank, a_nodule
from training.data.clinical import MINIMUM_NODULES, PATIENTS
from training.data.luna16 import Nodule
from training.data.scans import Scan
from training.data.splits import Split
from training.sources import Sources


def some_nodules(patient: str, radii: Sequence[float]) -> tuple[Nodule, ...]:
    """Nodules of one patient by radius in mm; those above 7 mm are malignant in all readers' opinion."""
    return tuple(
        dataclasses.replace(
            a_nodule(patient, radius=radius, ratings=(5, 5, 4) if radius > 7 else (1, 2, 1)),
            nodule_id=f"{patient}:{number}",
        )
        for number, radius in enumerate(radii)
    )


class NoduleSources(Sources):
    """Seven patients with many small nodules, more training and validation patients with one each."""

    def __init__(self, train: int, validation: int) -> None:
        super().__init__(data=Path("nowhere"), cache=Path("nowhere"), tell=lambda text: None)
        many = [f"clinical-{n}" for n in range(PATIENTS)]
        ones = [f"train-{n}" for n in range(train)]
        others = [f"validation-{n}" for n in range(validation)]
        radii = np.random.default_rng(0).uniform(5, 10, train + validation).tolist()
        small = np.linspace(2, 4, MINIMUM_NODULES).tolist()
        drawn = dict.fromkeys(many, small) | {p: [r] for p, r in zip(ones + others, radii, strict=True)}
        self.__dict__["luna16_split"] = Split(train=tuple(sorted(many + ones)), validation=tuple(others))
        self.__dict__["nodules"] = tuple(
            nodule for patient, some in drawn.items() for nodule in some_nodules(patient, some)
        )


class BankSources(Sources):
    """The three nodules of `a_bank` on both sides, of other patients' names, and a cube of lung with a false vessel."""

    def __init__(self) -> None:
        super().__init__(data=Path("nowhere"), cache=Path("nowhere"), tell=lambda text: None)
        known = a_bank().nodules
        held_out = tuple(dataclasses.replace(nodule, patient_id=f"V-{nodule.patient_id}") for nodule in known)
        self.__dict__["nodules"] = (*held_out, *known)
        self.__dict__["luna16_split"] = Split(
            train=tuple(n.patient_id for n in known), validation=tuple(n.patient_id for n in held_out)
        )

    def scans(self, phantoms: Sequence[int], *, has_backgrounds: bool) -> tuple[Scan, ...]:
        """One scan if backgrounds are asked for."""
        volume = np.full((64,) * 3, -850, np.int16)
        volume[30:36, 30:36] = 40
        scan = Scan(
            name="scan",
            synthetic=False,
            volume_hu=volume,
            target=np.zeros(volume.shape, np.int8),
            places_kji=np.argwhere(volume < 0)[::997].astype(np.int16),
            nodules_kji=np.zeros((0, 3), np.int16),
        )
        return (scan,) if has_backgrounds else ()
