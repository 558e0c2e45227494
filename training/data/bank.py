"""Everything that windows are drawn from, and the mixture that they are drawn in.

A draw depends on the random generator and the list of hard places only, so that a resumed run sees the same windows.
Called from `training.systems.jnsc`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inference.geometry import Shape
from training.data.luna16 import Nodule
from training.data.scans import Scan
from training.data.targets import BENIGN, MALIGNANT, NOTHING, UNRATED, TargetArray
from training.data.windows import Window, cut, pasted, scaled, varied
from training.labels.malignancy import Label

CODES = {Label.BENIGN: BENIGN, Label.MALIGNANT: MALIGNANT, Label.UNCERTAIN: UNRATED}
HardPlaces = Mapping[str, Sequence[Shape]]
NO_MARGINAL: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """How often each kind of window is drawn; any positive numbers.

    Parameters
    ----------
    patch : a real nodule patch, enlarged or continued by reflection
    phantom_nodule : a window of a phantom around one of its nodules
    pasted : a real nodule in a real background
    background : any window of the lungs or their border, real or phantom
    hard : a window around a false finding of an earlier state of the network
    reflected_background : 50 mm of background treated like a patch, so that its seams do not tell nodules
    """

    patch: float = 0.45
    phantom_nodule: float = 0.12
    pasted: float = 0.13
    background: float = 0.10
    hard: float = 0.15
    reflected_background: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Patches and scans of the training side.

    Parameters
    ----------
    hard : places that look like nodules, by scan
    marginal : codes of the nodules that have a pseudo-label, by nodule
    """

    nodules: tuple[Nodule, ...]
    scans: tuple[Scan, ...] = ()
    hard: HardPlaces = field(default_factory=dict)
    marginal: Mapping[str, int] = field(default_factory=dict)


def target_of(nodule: Nodule, marginal: Mapping[str, int] = NO_MARGINAL) -> TargetArray:
    """Codes of a patch: the nodule by its label or its own code, its known neighbours as unrated."""
    target = np.where(nodule.others, UNRATED, NOTHING).astype(np.int16)
    target[nodule.mask] = marginal.get(nodule.nodule_id, CODES[nodule.label])
    return target


def draw(bank: Bank, mixture: Mixture, size: int, rng: np.random.Generator) -> Window:
    """One window of `size` voxels per axis, varied."""
    kinds = {
        "patch": (mixture.patch, bool(bank.nodules)),
        "phantom_nodule": (mixture.phantom_nodule, any(scan.synthetic for scan in bank.scans)),
        "pasted": (mixture.pasted, bool(bank.nodules) and any(not scan.synthetic for scan in bank.scans)),
        "background": (mixture.background, bool(bank.scans)),
        "hard": (mixture.hard, any(bank.hard.values())),
        "reflected_background": (mixture.reflected_background, bool(bank.scans)),
    }
    weights = np.array([weight * possible for weight, possible in kinds.values()])
    kind = list(kinds)[rng.choice(len(kinds), p=weights / weights.sum())]
    return varied(_KINDS[kind](bank, size, rng), rng)


def patch_window(hu: NDArray[np.int16], target: TargetArray, size: int, rng: np.random.Generator) -> Window:
    """A window from a smaller cube: enlarged so that it fills the window, or continued by reflection."""
    edge = hu.shape[0]
    if rng.random() < 0.5:
        most = min(edge, size)
        part = int(rng.integers(round(most * 0.72), most + 1))
        start = [int(rng.integers(0, edge - part + 1)) for _ in range(3)]
    else:
        part = round(size / rng.uniform(0.87, 1.15))
        start = [int(edge / 2 - part * rng.uniform(0.15, 0.85)) for _ in range(3)]
    return scaled(cut(hu, target, (start[0], start[1], start[2]), part), size)


def _patch(bank: Bank, size: int, rng: np.random.Generator) -> Window:
    nodule = _nodule(bank, rng)
    return patch_window(nodule.patch_hu, target_of(nodule, bank.marginal), size, rng)


def _phantom_nodule(bank: Bank, size: int, rng: np.random.Generator) -> Window:
    scan = _scan(bank, rng, synthetic=True)
    centres = scan.nodules_kji if len(scan.nodules_kji) else scan.places_kji
    centre = centres[rng.integers(len(centres))]
    return _around(scan, centre, size, rng)


def _pasted(bank: Bank, size: int, rng: np.random.Generator) -> Window:
    scan = _scan(bank, rng, synthetic=False)
    window = _around(scan, _place(scan, rng), size, rng)
    for _ in range(int(rng.integers(1, 3))):
        nodule = _nodule(bank, rng)
        window = pasted(window, nodule.patch_hu, nodule.mask, rng)
    return window


def _background(bank: Bank, size: int, rng: np.random.Generator) -> Window:
    scan = _scan(bank, rng, synthetic=bool(rng.random() < 0.4))
    return _around(scan, _place(scan, rng), size, rng)


def _hard(bank: Bank, size: int, rng: np.random.Generator) -> Window:
    scans = [scan for scan in bank.scans if bank.hard.get(scan.name)]
    real = [scan for scan in scans if not scan.synthetic]
    pool = real if real and rng.random() < 0.6 else scans
    scan = pool[rng.integers(len(pool))]
    places = bank.hard[scan.name]
    return _around(scan, np.array(places[int(rng.integers(len(places)))]), size, rng)


def _reflected_background(bank: Bank, size: int, rng: np.random.Generator) -> Window:
    scan = _scan(bank, rng, synthetic=False)
    part = _around(scan, _place(scan, rng), 50, rng)
    return patch_window(part.volume_hu.astype(np.int16), part.target, size, rng)


_KINDS = {
    "patch": _patch,
    "phantom_nodule": _phantom_nodule,
    "pasted": _pasted,
    "background": _background,
    "hard": _hard,
    "reflected_background": _reflected_background,
}


def _nodule(bank: Bank, rng: np.random.Generator) -> Nodule:
    """Large nodules are rare (5 % above 18 mm), so a quarter of the draws go by diameter."""
    if rng.random() < 0.75:
        return bank.nodules[rng.integers(len(bank.nodules))]
    diameters = np.array([nodule.diameter_mm for nodule in bank.nodules])
    return bank.nodules[rng.choice(len(bank.nodules), p=diameters / diameters.sum())]


def _scan(bank: Bank, rng: np.random.Generator, *, synthetic: bool) -> Scan:
    pool = [scan for scan in bank.scans if scan.synthetic is synthetic] or list(bank.scans)
    return pool[rng.integers(len(pool))]


def _place(scan: Scan, rng: np.random.Generator) -> NDArray[np.int16]:
    place: NDArray[np.int16] = scan.places_kji[rng.integers(len(scan.places_kji))]
    return place


def _around(scan: Scan, centre: NDArray[np.integer], size: int, rng: np.random.Generator) -> Window:
    """A window that holds `centre` anywhere but close to its faces, kept inside the scan where it is large enough."""
    start = []
    for middle, length in zip(centre, scan.volume_hu.shape, strict=True):
        first = int(middle) - int(size * rng.uniform(0.15, 0.85))
        start.append(min(max(first, 0), length - size) if length >= size else first)
    return cut(scan.volume_hu, scan.target, (start[0], start[1], start[2]), size)
