"""A data folder with synthetic LUNA16 nodules only: balls of soft tissue in noisy lung."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.support.torch_networks import a_nodule
from training.data.clinical import MINIMUM_NODULES, PATIENTS
from training.data.luna16 import Nodule
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
