"""The detector's probability without windows: each voxel is asked once, and again where that can matter. Pure.

For networks that judge a voxel alike in windows of any size (`inference.contract.Detection.is_one_pass`). A CT has two
views, as it is and with all axes turned round, whose mean counts: where both see a nodule there is more often one than
where one does. Where the first view sees so little that even with a second of 1 the mean stays below the operating
score, there is no finding, whatever the second says; so the second is asked around the rest only. What reaches the
score was seen twice, with its whole component and what touches it; elsewhere the probability is that of the first view,
and below the score. With a score of 0 everything is asked twice. What that saves, and what it changes that the second
view has less around a place than the whole CT: `deploy/docs/performance.md`. Called from `inference.search`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage

from inference.contract import COARSEST, Detection
from inference.parts import LARGEST, Ask, Part, asked, index, parts
from inference.predictor import FloatTensor
from inference.volume import BoolArray

FIRST_SHARE = 0.7
"""Of the work that the first view makes, about: of four real CTs and two phantoms 65 to 100 %."""

ROUNDING = 1e-6
"""More than that of the sums below, so that it never decides what is seen twice."""

NEIGHBOURS = np.ones((3, 3, 3), bool)


def probability_in_one_pass(
    values_kji: FloatTensor,
    ask: Ask,
    tell: Callable[[float], None],
    detection: Detection,
    *,
    largest: int = LARGEST,
) -> FloatTensor:
    """What the network says of each voxel.

    Parameters
    ----------
    values_kji : along each axis a multiple of `COARSEST` long
    ask : from windows of shape (1, 1, k, j, i) to their probabilities of shape (1, k, j, i)
    tell : told the share that is done with, 0..1
    largest : voxels of a question
    """
    k, j, i = values_kji.shape
    found = np.empty((k, j, i), np.float32)
    first = list(parts(((0, k), (0, j), (0, i)), (k, j, i), largest))
    for done, part in enumerate(first):
        tell(FIRST_SHARE * done / len(first))
        found[index(part)] = asked(values_kji, part, ask, detection.roi_kji)
    turned, is_sure, told = np.flip(values_kji), np.zeros([n // COARSEST for n in found.shape], bool), FIRST_SHARE
    while boxes := list(_undecided(found, is_sure, detection)):
        again = [part for box in boxes for part in parts(box, (k, j, i), largest)]
        for done, part in enumerate(again):
            tell(told + (1 - told) / 2 * done / len(again))
            second = np.flip(asked(turned, _turned(part, found.shape), ask, detection.roi_kji))
            here, cells = index(part), _cells(part)
            np.copyto(found[here], (found[here] + second) / 2, where=~_in_voxels(is_sure[cells]))
            is_sure[cells] = True
        told = (1 + told) / 2
    return found


def _undecided(found_kji: FloatTensor, is_sure: BoolArray, detection: Detection) -> Iterator[Part]:
    """Boxes of cells that were not seen twice and hold, or touch, what may be part of a finding.

    Parameters
    ----------
    is_sure : whether a cell of `COARSEST` voxels along each axis was seen twice
    """
    score = detection.operating_score
    floor = min(detection.threshold, 2 * score - 1) - ROUNDING
    highest = _highest(found_kji)
    possible = np.where(is_sure, highest, (highest + 1) / 2)
    labels, _ = ndimage.label(_highest(found_kji, with_neighbours=True) >= floor, NEIGHBOURS)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        cells = labels[box] == number
        missing = np.argwhere(cells & ~is_sure[box])
        if len(missing) and possible[box][cells].max() >= score:
            starts, stops = missing.min(axis=0) * COARSEST, (missing.max(axis=0) + 1) * COARSEST
            k, j, i = (
                (a + s.start * COARSEST, b + s.start * COARSEST) for a, b, s in zip(starts, stops, box, strict=True)
            )
            yield k, j, i


def _highest(values_kji: FloatTensor, *, with_neighbours: bool = False) -> FloatTensor:
    """The highest value of each cell, or of the cell and the voxels that touch it."""
    for axis in range(3):
        values = np.moveaxis(values_kji, axis, 0)
        slabs = values.reshape(-1, COARSEST, *values.shape[1:])
        cells = slabs.max(axis=1)
        if with_neighbours:
            np.maximum(cells[1:], slabs[:-1, -1], out=cells[1:])
            np.maximum(cells[:-1], slabs[1:, 0], out=cells[:-1])
        values_kji = np.moveaxis(cells, 0, axis)
    return values_kji


def _cells(part: Part) -> tuple[slice, slice, slice]:
    """The index of the cells of a part."""
    k, j, i = (slice(start // COARSEST, stop // COARSEST) for start, stop in part)
    return k, j, i


def _in_voxels(cells: BoolArray) -> BoolArray:
    """For each voxel what its cell says."""
    for axis in range(3):
        cells = cells.repeat(COARSEST, axis=axis)
    return cells


def _turned(part: Part, shape: tuple[int, ...]) -> Part:
    """Where a part lies when all axes are turned round."""
    k, j, i = ((length - stop, length - start) for (start, stop), length in zip(part, shape, strict=True))
    return k, j, i
