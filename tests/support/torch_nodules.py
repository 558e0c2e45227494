"""A data folder with synthetic LUNA16 nodules only: balls of soft tissue in noisy lung."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tests.support.torch_networks import a_nodule
from training.data.clinical import MINIMUM_NODULES, PATIENTS
from training.data.luna16 import Nodule
from training.data.splits import Split
from training.sources import Sources


def some_nodules(patient: str, count: int, *, first: int = 0) -> tuple[Nodule, ...]:
    """Nodules of one patient, 2 to 5 mm in radius; the larger half is malignant in all readers' opinion."""
    radii = np.random.default_rng(first).uniform(2, 5, count)
    return tuple(
        dataclasses.replace(
            a_nodule(patient, radius=float(radius), ratings=(5, 5, 4) if radius > 3.5 else (1, 2, 1)),
            nodule_id=f"{patient}:{first + number}",
        )
        for number, radius in enumerate(radii)
    )


class NoduleSources(Sources):
    """Seven patients with many nodules, more training and validation patients with one each."""

    def __init__(self, train: int, validation: int) -> None:
        super().__init__(data=Path("nowhere"), cache=Path("nowhere"), tell=lambda text: None)
        many = [f"clinical-{n}" for n in range(PATIENTS)]
        ones = [f"train-{n}" for n in range(train)]
        others = [f"validation-{n}" for n in range(validation)]
        self.__dict__["luna16_split"] = Split(train=tuple(sorted(many + ones)), validation=tuple(others))
        self.__dict__["nodules"] = (
            *(nodule for p in many for nodule in some_nodules(p, MINIMUM_NODULES)),
            *(nodule for n, p in enumerate(ones + others) for nodule in some_nodules(p, 1, first=n)),
        )
