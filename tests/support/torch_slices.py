"""Slices with nodules of known size, readers and malignancy, and data folders that hold nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.data.slices import EDGE, Slice, chosen
from training.data.splits import Split
from training.sources import Sources

LUNG_HU, TISSUE_HU, NOISE_HU = -850, 30, 60
LARGE_MM = 12.0
"""Nodules wider than this are malignant in all readers' opinion, the others benign."""


def a_slice(number: int = 0, *, patient: str | None = None, radius: float = 8.0, readers: int = 3) -> Slice:
    """A disc of soft tissue in noisy lung, a little off the middle; each reader draws it a little wider or narrower."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices((EDGE, EDGE)) - EDGE // 2 - rng.integers(-4, 5, 2)[:, None, None]
    distance = np.hypot(rows, columns)
    image = np.where(distance <= radius, TISSUE_HU, LUNG_HU) + rng.normal(0, NOISE_HU, distance.shape)
    edges = radius + np.linspace(-0.5, 0.5, readers)
    return Slice(
        case_id=f"slice:{number}",
        patient_id=patient or f"P{number}",
        image_hu=image.astype(np.int16),
        readers_RJI=distance <= edges[:, None, None],
        ratings=(5 if 1.4 * radius > LARGE_MM else 1,) * readers,
        pixel_spacing_mm=0.7,
        diameter_mm=1.4 * radius,
    )


def some_slices(count: int, first: int = 0) -> tuple[Slice, ...]:
    """Slices of different patients, half of them with a malignant nodule."""
    radii = np.random.default_rng(first).uniform((4, 10), (7, 15), (count, 2))
    return tuple(a_slice(first + n, radius=float(radii[n, n % 2])) for n in range(count))


class FakeSources(Sources):
    """A data folder with synthetic slices only, the same ones for LUNA16 and LIDC."""

    def __init__(self, train: Sequence[Slice], validation: Sequence[Slice], *, cache: Path = Path("nowhere")) -> None:
        super().__init__(data=Path("nowhere"), cache=cache, tell=lambda text: None)
        self.__dict__["slices"] = (*train, *validation)
        split = Split(
            train=tuple(sorted({s.patient_id for s in train})),
            validation=tuple(sorted({s.patient_id for s in validation})),
        )
        self.__dict__["luna16_split"] = self.__dict__["lidc_split"] = split

    def luna16_slices(self, patients: Sequence[str], *, drawn: int = 1) -> tuple[Slice, ...]:
        """The slices of some patients, one of each nodule."""
        return chosen(self.__dict__["slices"], patients)

    def lidc_slices(self, patients: Sequence[str], *, readers: int = 1) -> tuple[Slice, ...]:
        """The slices of some patients that so many readers drew at least."""
        return tuple(s for s in chosen(self.__dict__["slices"], patients) if len(s.readers_RJI) >= readers)


def fake_sources(train: int = 64, validation: int = 32) -> FakeSources:
    """So many slices on either side."""
    return FakeSources(some_slices(train), some_slices(validation, first=1000))
