"""What a detector must not call a nodule: granulomas under 4 mm, pleural plaques, bands, apical scars, mucus plugs.

Each is an ellipsoid of soft or calcified tissue. Called from `build`.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from inference.geometry import FloatArray
from training.data.phantom.anatomy import Chest
from training.data.phantom.fields import coverage
from training.data.phantom.lungs import Filling
from training.data.phantom.nodules import DrawnNodule

APART_MM = 12.0
TRIES = 200


class Kind(StrEnum):
    """Kind of a distractor."""

    GRANULOMA = "granuloma"
    PLAQUE = "plaque"
    BAND = "band"
    SCAR = "scar"
    PLUG = "plug"


HALF_AXES_MM = {  # along, across, across; typical sizes on CT
    Kind.GRANULOMA: ((1.0, 1.7), (1.0, 1.7), (1.0, 1.7)),
    Kind.PLAQUE: ((1.2, 2.2), (8.0, 16.0), (8.0, 16.0)),
    Kind.BAND: ((0.8, 1.3), (10.0, 22.0), (6.0, 12.0)),
    Kind.SCAR: ((2.0, 4.0), (5.0, 10.0), (3.0, 7.0)),
    Kind.PLUG: ((6.0, 12.0), (1.3, 2.2), (1.3, 2.2)),
}
HU = {
    Kind.GRANULOMA: (150.0, 700.0),
    Kind.PLAQUE: (40.0, 350.0),
    Kind.BAND: (-150.0, 20.0),
    Kind.SCAR: (-250.0, 20.0),
    Kind.PLUG: (-20.0, 40.0),
}


def add(chest: Chest, filling: Filling, nodules: list[DrawnNodule], rng: np.random.Generator) -> Kind | None:
    """Draw one distractor into `chest.hu`, in place, away from the nodules; None if no place was found."""
    kind = list(Kind)[rng.integers(len(Kind))]
    half_axes = np.array([rng.uniform(*bounds) for bounds in HALF_AXES_MM[kind]])
    hu = rng.uniform(*HU[kind])
    for _ in range(TRIES):
        centre, along = _proposal(chest, filling, kind, rng)
        reach = half_axes.max() + APART_MM
        if all(np.linalg.norm(centre - nodule.centre_kji) > reach + nodule.diameter_mm / 2 for nodule in nodules):
            _draw(chest, centre, _frame(along, rng), half_axes, hu)
            return kind
    return None


def _proposal(chest: Chest, filling: Filling, kind: Kind, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Centre (voxel index) and direction of the first half-axis."""
    if kind is Kind.PLUG:
        inside = np.flatnonzero(filling.airways.radii_mm < 3)
        at = int(rng.choice(inside))
        start, end = filling.airways.starts_kji[at], filling.airways.ends_kji[at]
        return (start + end) / 2, end - start
    depth = {Kind.GRANULOMA: (-1e3, -4.0), Kind.BAND: (-12.0, -3.0)}.get(kind, (-1.0, 0.5))
    suited = (chest.lung_mm > depth[0]) & (chest.lung_mm < depth[1])
    if kind is Kind.PLAQUE:
        suited &= np.abs(chest.cage_mm) < 3
    if kind is Kind.SCAR:
        suited[: int(0.75 * len(suited))] = False
    places = np.flatnonzero(suited)
    centre = np.array(np.unravel_index(int(rng.choice(places)), suited.shape), float)
    return centre, _outwards(chest, centre) if kind is not Kind.BAND else rng.normal(size=3)


def _outwards(chest: Chest, centre: FloatArray) -> FloatArray:
    """Direction in which the distance to the lung surface grows fastest."""
    box = tuple(slice(max(int(at) - 3, 0), int(at) + 4) for at in centre)
    return np.array([gradient.mean() for gradient in np.gradient(chest.lung_mm[box])])


def _frame(along: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Three orthonormal rows, the first along `along`."""
    basis, _ = np.linalg.qr(np.column_stack([along, rng.normal(size=(3, 2))]))
    return np.asarray(basis.T)


def _draw(chest: Chest, centre: FloatArray, frame: FloatArray, half_axes: FloatArray, hu: float) -> None:
    reach = half_axes.max() + 2
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, chest.hu.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    offset = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
    size = np.linalg.norm((offset - centre) @ frame.T / half_axes, axis=-1)
    share = coverage((size - 1) * half_axes.min()) * coverage(chest.lung_mm[box] - 0.5)
    target = chest.hu[box]
    np.maximum(target, target + share * (hu - target), out=target)
