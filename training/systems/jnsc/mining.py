"""Places where the network finds nodules that are none, to train on. Called from `training.systems.jnsc.recipe`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from inference.geometry import Shape
from inference.one_pass import probability_in_one_pass
from inference.predictor import FloatTensor
from inference.volume import BoolArray
from training.data.scans import Scan
from training.data.targets import NOTHING
from training.networks.jnsc import STRIDES, Jnsc
from training.place import Place
from training.systems.jnsc.candidates import NEIGHBOURS, THRESHOLD
from training.systems.jnsc.contracts import DETECTION
from training.systems.jnsc.inputs import normalised

WINDOW, STEP = 64, 56
EVERYTHING = replace(DETECTION, operating_score=0.0)
SMALLEST = 10
MOST = 150
NEAR_MM = 4


def false_findings(network: Jnsc, scans: Iterable[Scan]) -> dict[str, list[Shape]]:
    """Centres of components that touch no nodule, by scan, largest first."""
    return {scan.name: _of_scan(network, scan) for scan in scans}


def _of_scan(network: Jnsc, scan: Scan) -> list[Shape]:
    positive = _in_one_pass(network, scan) if network.config.norm == "batch" else _in_windows(network, scan)
    labels, count = ndimage.label(positive, NEIGHBOURS)
    sizes = np.bincount(labels.ravel())
    near = ndimage.binary_dilation(scan.target != NOTHING, iterations=NEAR_MM) if scan.target.any() else None
    sizes[0] = 0
    if near is not None:
        sizes[np.unique(labels[near])] = 0
    largest = [number for number in np.argsort(-sizes)[:MOST] if sizes[number] >= SMALLEST]
    centres = ndimage.center_of_mass(positive, labels, largest) if count else []
    return [(round(k), round(j), round(i)) for k, j, i in centres]


def _in_windows(network: Jnsc, scan: Scan) -> BoolArray:
    positive = np.zeros(scan.volume_hu.shape, bool)
    for window in _windows(scan):
        positive[window] |= _probability(network, normalised(scan.volume_hu[window])) >= THRESHOLD
    return positive


def _in_one_pass(network: Jnsc, scan: Scan) -> BoolArray:
    """As it is served; voxels beyond the last whole step of the network are left out."""
    positive = np.zeros(scan.volume_hu.shape, bool)
    whole = tuple(slice(0, length // STRIDES[-1] * STRIDES[-1]) for length in scan.volume_hu.shape)
    values = normalised(scan.volume_hu[whole]).numpy()
    found = probability_in_one_pass(
        values,
        lambda window: _probability(network, torch.from_numpy(window[0, 0]))[None],
        lambda share: None,
        EVERYTHING,
    )
    positive[whole] = found >= THRESHOLD
    return positive


def _windows(scan: Scan) -> Iterator[tuple[slice, ...]]:
    """Windows that hold a place of the lungs."""
    starts = [[*range(0, max(1, size - WINDOW), STEP), max(0, size - WINDOW)] for size in scan.volume_hu.shape]
    for start in itertools.product(*starts):
        low = np.array(start)
        if ((scan.places_kji >= low) & (scan.places_kji < low + WINDOW)).all(1).any():
            yield tuple(slice(first, first + WINDOW) for first in start)


@torch.no_grad()
def _probability(network: Jnsc, values: Tensor) -> FloatTensor:
    """Of one window of normalised values."""
    device = next(network.parameters()).device
    is_fast = Place(device=str(device)).is_bfloat16_fast
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_fast):  # forward only: right at every size
        logits = network.decode(network.encode(values[None, None].to(device)))
    probability: FloatTensor = torch.sigmoid(logits.float())[0, 0].cpu().numpy()
    return probability
