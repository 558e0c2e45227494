"""Shapes of real lung nodules, from the outlines that radiologists drew in LIDC-IDRI: packed once, drawn by `nodules`.

`shapes.npz` holds the 50 % consensus of nodules outlined by three or four readers, 4-30 mm, and the means of their
ratings. `lidc_packing` makes it.

Source: Armato SG III et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative (IDRI),
Med Phys 2011;38:915-931; data https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX, licence CC BY 3.0. Outlines were sampled
to 0.75 mm masks, the pixels of the outline included, which gives the same sizes as the masks of LUNA16 (median
difference of the diameters 0.0 mm over 205 nodules); no pixel of any CT is in the file.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np

from inference.volume import BoolArray

VOXEL_MM = 0.75
RATINGS = ("malignancy", "texture", "calcification", "margin", "spiculation", "lobulation", "sphericity", "subtlety")


class Pool(StrEnum):
    """Which phantoms a shape may be used in. A patient belongs to one pool."""

    TRAINING = "training"
    HELD_OUT = "held-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleShape:
    """Consensus shape of one nodule.

    Parameters
    ----------
    patient_id : LIDC patient
    ratings : mean over its readers of each of `RATINGS`, 1..5 (calcification 1..6, where 6 = none)
    voxels : shape (k, j, i), bool, voxels of 0.75 mm, touching all six faces of the box
    """

    patient_id: str
    ratings: dict[str, float]
    voxels: BoolArray

    @property
    def diameter_mm(self) -> float:
        """Diameter of the sphere of the same volume."""
        return float((6 * self.voxels.sum() * VOXEL_MM**3 / np.pi) ** (1 / 3))


def pool_of(patient_id: str) -> Pool:
    """Pool of a patient: one patient in four is held out, by a hash of the id, whatever else is in the file."""
    return Pool.HELD_OUT if hashlib.sha256(patient_id.encode()).digest()[0] % 4 == 0 else Pool.TRAINING


@functools.cache
def shapes(pool: Pool) -> tuple[NoduleShape, ...]:
    """The packed shapes of a pool, in the order of the file."""
    packed = read(files(__package__).joinpath("shapes.npz"))
    return tuple(shape for shape in packed if pool_of(shape.patient_id) is pool)


def read(path: Traversable) -> tuple[NoduleShape, ...]:
    """Shapes from a file that `lidc_packing.pack` wrote."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as pack:
        patients, ratings, sizes, bits = (pack[name] for name in ("patients", "ratings", "sizes", "bits"))
    flat = np.unpackbits(bits).astype(bool)
    ends = np.cumsum(sizes.astype(int).prod(axis=1))
    return tuple(
        NoduleShape(
            patient_id=str(patient),
            ratings=dict(zip(RATINGS, map(float, rated), strict=True)),
            voxels=flat[end - int(size.astype(int).prod()) : end].reshape(size),
        )
        for patient, rated, size, end in zip(patients, ratings, sizes, ends, strict=True)
    )
