"""Places where the network finds nodules that are none, to train on. Called from `training.systems.jnsc.recipe`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from scipy import ndimage

from inference.geometry import Shape
from training.data.scans import Scan
from training.data.targets import NOTHING
from training.networks.jnsc import Jnsc
from training.place import Place
from training.systems.jnsc.candidates import NEIGHBOURS, THRESHOLD
from training.systems.jnsc.inputs import normalised

WINDOW, STEP = 64, 56
SMALLEST = 10
MOST = 150
NEAR_MM = 4


def false_findings(network: Jnsc, scans: Iterable[Scan]) -> dict[str, list[Shape]]:
    """Centres of components that touch no nodule, by scan, largest first."""
    return {scan.name: _of_scan(network, scan) for scan in scans}


def _of_scan(network: Jnsc, scan: Scan) -> list[Shape]:
    positive = np.zeros(scan.volume_hu.shape, bool)
    for window in _windows(scan):
        positive[window] |= _probability(network, scan.volume_hu[window]) >= THRESHOLD
    labels, count = ndimage.label(positive, NEIGHBOURS)
    sizes = np.bincount(labels.ravel())
    near = ndimage.binary_dilation(scan.target != NOTHING, iterations=NEAR_MM) if scan.target.any() else None
    sizes[0] = 0
    if near is not None:
        sizes[np.unique(labels[near])] = 0
    largest = [number for number in np.argsort(-sizes)[:MOST] if sizes[number] >= SMALLEST]
    centres = ndimage.center_of_mass(positive, labels, largest) if count else []
    return [(round(k), round(j), round(i)) for k, j, i in centres]


def _windows(scan: Scan) -> Iterator[tuple[slice, ...]]:
    """Windows that hold a place of the lungs."""
    starts = [[*range(0, max(1, size - WINDOW), STEP), max(0, size - WINDOW)] for size in scan.volume_hu.shape]
    for start in itertools.product(*starts):
        low = np.array(start)
        if ((scan.places_kji >= low) & (scan.places_kji < low + WINDOW)).all(1).any():
            yield tuple(slice(first, first + WINDOW) for first in start)


@torch.no_grad()
def _probability(network: Jnsc, volume_hu: np.ndarray) -> np.ndarray:
    device = next(network.parameters()).device
    is_fast = Place(device=str(device)).is_bfloat16_fast
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_fast):  # forward only: right at every size
        logits = network.decode(network.encode(normalised(volume_hu[None, None]).to(device)))
    return torch.sigmoid(logits.float())[0, 0].cpu().numpy()
