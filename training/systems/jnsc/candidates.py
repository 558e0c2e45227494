"""Candidates inside one training window, with their labels and features. Called from `training.systems.jnsc`.

The crop and the pooling are those of `training.networks.jnsc`, hence those that are served.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.volume import BoolArray
from training.data.targets import BENIGN, MALIGNANT, MARGINAL, NOTHING, TargetArray
from training.losses import jnsc as losses
from training.networks.jnsc import Box

THRESHOLD = 0.4
NEIGHBOURS = np.ones((3, 3, 3), bool)
SMALLEST = 8
"""Voxels; smaller components are dropped when the model is served (diameter below 3 mm is less than 14 voxels)."""

MOST = 8
LABELS = {BENIGN: losses.BENIGN, MALIGNANT: losses.MALIGNANT}


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCandidate:
    """A component in a window.

    Parameters
    ----------
    box : bounding box, dilated by one voxel, inside the window
    voxels : of the component
    label : as in `training.losses.jnsc`, or the code of a nodule with a pseudo-label
    """

    box: Box
    voxels: int
    label: int


def candidates_in(probability: NDArray[np.float32], target: TargetArray) -> list[WindowCandidate]:
    """The network's components and the true nodules, each with its label; the largest ones if they are many."""
    found = [*_components(probability >= THRESHOLD, target), *_components(target != NOTHING, target)]
    return sorted(found, key=lambda candidate: -candidate.voxels)[:MOST]


def _components(mask: BoolArray, target: TargetArray) -> Iterator[WindowCandidate]:
    labels, _ = ndimage.label(mask, NEIGHBOURS)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        component = labels[box] == number
        voxels = int(component.sum())
        if voxels >= SMALLEST:
            yield WindowCandidate(box=_dilated(box, mask.shape), voxels=voxels, label=_label(target[box][component]))


def _dilated(box: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    k, j, i = ((max(0, part.start - 1), min(size, part.stop + 1)) for part, size in zip(box, shape, strict=True))
    return k, j, i


def _label(codes: TargetArray) -> int:
    hit = codes[codes != NOTHING]
    if not len(hit):
        return losses.NON_NODULE
    code = int(np.bincount(hit).argmax())
    return code if code >= MARGINAL else LABELS.get(code, losses.SOME_NODULE)
