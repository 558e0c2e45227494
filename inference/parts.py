"""Parts of a CT, each asked with its surroundings; no model. Pure.

For networks that judge a voxel alike in windows of any size (`inference.contract.Detection.is_one_pass`): what such a
network sees beyond the margin of large parts moves less than a voxel in a million across the threshold; of small ones,
as second looks are, now and then a finding (`deploy/docs/performance.md`). Called from `inference.one_pass`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from inference.contract import COARSEST
from inference.geometry import Shape
from inference.predictor import FloatTensor

LARGEST = 12_000_000
"""Voxels of a part with its margin, for which the network takes 1 GB (in float32 1.7); smaller ones take less
memory, and more time, as margins are asked twice."""

MARGIN = 32
"""Voxels around a part that are asked, too, and not used."""

Ask = Callable[[FloatTensor], FloatTensor]
Span = tuple[int, int]
Part = tuple[Span, Span, Span]


def parts(box: Part, shape_kji: Shape, largest: int) -> Iterator[Part]:
    """Parts that cover a box of the CT once, in index order: it is halved along its longest axis.

    Parameters
    ----------
    box : its ends lie on multiples of `COARSEST` as far as those of the CT do, and so do those of the parts
    shape_kji : of the CT
    largest : voxels of a part with its margin
    """
    lengths = [stop - start for start, stop in box]
    longest = max(range(3), key=lambda axis: lengths[axis])
    asked = math.prod(stop - start for start, stop in _around(box, shape_kji))
    if asked <= largest or lengths[longest] < 2 * COARSEST:
        yield box
        return
    start, stop = box[longest]
    middle = start + lengths[longest] // 2 // COARSEST * COARSEST
    for half in ((start, middle), (middle, stop)):
        k, j, i = (half if axis == longest else span for axis, span in enumerate(box))
        yield from parts((k, j, i), shape_kji, largest)


def index(part: Part) -> tuple[slice, slice, slice]:
    """The index of a part."""
    k, j, i = (slice(*span) for span in part)
    return k, j, i


def asked(values_kji: FloatTensor, part: Part, ask: Ask, least_kji: Shape) -> FloatTensor:
    """What the network says of a part, its shape.

    Parameters
    ----------
    ask : from windows of shape (1, 1, k, j, i) to their probabilities of shape (1, k, j, i)
    least_kji : the smallest window that may be asked
    """
    k, j, i = values_kji.shape
    around = _around(part, (k, j, i), least_kji)
    answer: FloatTensor = ask(np.ascontiguousarray(values_kji[index(around)])[None, None])[0]
    k, j, i = ((start - a, stop - a) for (start, stop), (a, _) in zip(part, around, strict=True))
    return answer[index((k, j, i))]


def _around(part: Part, shape_kji: Shape, least_kji: Shape = (0, 0, 0)) -> Part:
    """A part with its margin; more of it where the CT ends, if it would be too small."""
    k, j, i = (
        (max(0, min(start - MARGIN, count - least)), min(count, max(stop + MARGIN, least)))
        for (start, stop), count, least in zip(part, shape_kji, least_kji, strict=True)
    )
    return k, j, i
