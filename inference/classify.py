"""What a candidate is: features from the dense network's maps, and the head that reads them (paper 4, section II-B).

The operator is an integer crop and an adaptive max pool, the same as in training. Called from `inference.pipeline`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inference.contract import Contract
from inference.errors import ContractInvalid
from inference.findings import CroppedMask, Proposal
from inference.geometry import Shape
from inference.predictor import FloatTensor, Predictor
from inference.tiling import batches, closest_window

DENSE_BATCH = 4
"""Windows per request: at the paper's width the maps of one window take 20 MB."""

HEAD_BATCH = 32

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the head says of a candidate.

    Parameters
    ----------
    nodule : probability that it is a nodule at all, 0..1
    malignancy : of a nodule, probability that it is malignant, 0..1
    """

    nodule: float
    malignancy: float


def classify(
    proposals: Sequence[Proposal],
    values_kji: FloatTensor,
    starts: Sequence[Shape],
    detector: Contract,
    head: Contract,
    predictor: Predictor,
) -> list[Verdict]:
    """Verdicts in the order of the proposals.

    Each one's features come from the window whose centre is closest to it: near the border of a window they are padded.

    Parameters
    ----------
    values_kji : the normalised field
    starts : windows to choose from
    """
    features = dict(_features(proposals, values_kji, starts, detector, predictor))
    verdicts: list[Verdict] = []
    for first in range(0, len(proposals), HEAD_BATCH):
        batch = np.stack([features[n] for n in range(first, min(first + HEAD_BATCH, len(proposals)))])
        verdicts += _verdicts(batch, head, predictor)
    return verdicts


def roi_features(
    maps: Sequence[FloatTensor], strides: Sequence[int], bins: Sequence[int], box: Sequence[Span], voxels: int
) -> FloatTensor:
    """Features of one candidate from the maps of one window.

    Parameters
    ----------
    maps : each of shape (c, k, j, i)
    strides : window voxels per voxel of each map, along every axis
    bins : cells per axis that each map is pooled to
    box : [start, stop) along k, j, i, in voxels of the window
    voxels : size of the candidate's component

    Returns
    -------
    shape (f,): the pooled maps one after the other, each in order (c, k, j, i), and the size 0.1 * voxels ** (1/3)
    """
    parts = []
    for values, stride, cells in zip(maps, strides, bins, strict=True):
        k, j, i = (slice(a // stride, max(a // stride + 1, math.ceil(b / stride))) for a, b in box)
        parts.append(adaptive_max_pool(values[:, k, j, i], cells).ravel())
    return np.concatenate([*parts, [0.1 * voxels ** (1.0 / 3.0)]]).astype(np.float32)


def adaptive_max_pool(values: FloatTensor, cells: int) -> FloatTensor:
    """Maxima of cells that share out each axis as torch's AdaptiveMaxPool3d does.

    Cell n of b covers [floor(n * length / b), ceil((n + 1) * length / b)).

    Parameters
    ----------
    values : shape (c, k, j, i)

    Returns
    -------
    shape (c, cells, cells, cells)
    """
    for axis in (1, 2, 3):
        length = values.shape[axis]
        spans = [(n * length // cells, -(-(n + 1) * length // cells)) for n in range(cells)]
        parts = [values.take(range(start, stop), axis).max(axis) for start, stop in spans]
        values = np.stack(parts, axis)
    return values


def _features(
    proposals: Sequence[Proposal],
    values_kji: FloatTensor,
    starts: Sequence[Shape],
    detector: Contract,
    predictor: Predictor,
) -> Iterator[tuple[int, FloatTensor]]:
    """Number and features of each proposal, window by window, so that no window is asked for twice."""
    assert detector.detection is not None
    roi = detector.detection.roi_kji
    names, strides, bins = zip(*detector.features, strict=True)
    members: dict[Shape, list[int]] = {}
    for number, proposal in enumerate(proposals):
        members.setdefault(closest_window(proposal.centre_kji, starts, roi), []).append(number)
    for group, windows in batches(values_kji, list(members), roi, DENSE_BATCH):
        maps = predictor.infer(detector.model, detector.version, {detector.inputs[0].name: windows}, names)
        for row, start in enumerate(group):
            for number in members[start]:
                component = proposals[number].component
                own = [maps[name][row] for name in names]
                voxels = int(np.count_nonzero(component.voxels))
                yield number, roi_features(own, strides, bins, _box(component, start, roi), voxels)


def _box(component: CroppedMask, start_kji: Shape, roi_kji: Shape) -> list[Span]:
    """The component's box and a voxel around it, in voxels of the window, cut to the window, at least one voxel."""
    spans = []
    axes = zip(component.start_kji, component.voxels.shape, start_kji, roi_kji, strict=True)
    for first, length, origin, roi in axes:
        start = min(max(first - 1 - origin, 0), roi - 1)
        spans.append((start, min(max(first + length + 1 - origin, start + 1), roi)))
    return spans


def _verdicts(features: FloatTensor, head: Contract, predictor: Predictor) -> list[Verdict]:
    output = head.outputs[0].name
    answer = predictor.infer(head.model, head.version, {head.inputs[0].name: features}, [output])[output]
    benign, malignant, other = (answer[:, column] for column in _columns(head))
    share = malignant / np.maximum(malignant + benign, np.finfo(np.float32).tiny)
    return [Verdict(nodule=float(1.0 - n), malignancy=float(m)) for n, m in zip(other, share, strict=True)]


def _columns(head: Contract) -> list[int]:
    try:
        return [head.classes.index(name) for name in ("benign", "malignant", "non-nodule")]
    except ValueError as error:
        raise ContractInvalid(f"{head.model} does not name benign, malignant and non-nodule as its classes") from error
