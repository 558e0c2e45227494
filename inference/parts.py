"""The detector's probability without windows: the CT in a few large parts, each with its surroundings. Pure.

For networks that judge a voxel alike in windows of any size (`inference.contract.Detection.is_one_pass`): every voxel
is asked twice, as it is and with all axes turned round, and not in eight windows. Where both see a nodule there is more
often one than where one does. Parts are there for the memory only; what a network sees beyond the margin of a
part moves a voxel in 100,000 across the threshold (`deploy/docs/performance.md`). Called from `inference.search`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from inference.geometry import Shape
from inference.predictor import FloatTensor

LARGEST = 8_000_000
"""Voxels of a part without its margin. With it a part has at most 11 million, for which the network takes about 1 GB
(in float32 1.6); smaller ones take less memory, and more time, as margins are asked twice."""

MARGIN = 32
"""Voxels around a part that are asked, too, and not used."""

STEP = 32
"""Voxels; the lengths of parts are multiples of it as far as those of the CT are."""

VIEWS: tuple[Callable[[FloatTensor], FloatTensor], ...] = (np.asarray, np.flip)
"""As it is, and with all axes turned round; each takes back what it did."""

Span = tuple[int, int]
Part = tuple[Span, Span, Span]


def probability_of_parts(
    values_kji: FloatTensor,
    ask: Callable[[FloatTensor], FloatTensor],
    tell: Callable[[float], None],
    *,
    largest: int = LARGEST,
) -> FloatTensor:
    """Mean of what the network says of each voxel in the two views.

    Parameters
    ----------
    values_kji : along each axis as long as the network takes
    ask : from windows of shape (1, 1, k, j, i) to their probabilities of shape (1, k, j, i)
    tell : told the share of the CT that is done with, 0..1
    largest : voxels of a part
    """
    found = np.zeros(values_kji.shape, np.float32)
    k, j, i = values_kji.shape
    some = list(parts((k, j, i), largest))
    for done, (part, turned) in enumerate(itertools.product(some, VIEWS)):
        tell(done / (len(some) * len(VIEWS)))
        around = _around(part, values_kji.shape)
        inside = tuple(slice(a - b, stop - b) for (a, stop), (b, _) in zip(part, around, strict=True))
        here, there = (tuple(slice(*span) for span in box) for box in (part, around))
        answer = ask(np.ascontiguousarray(turned(values_kji[there]))[None, None])[0]
        found[here] += turned(answer)[inside] / np.float32(len(VIEWS))
    return found


def parts(shape_kji: Shape, largest: int) -> Iterator[Part]:
    """Parts of at most `largest` voxels that cover the CT once, in index order: it is halved along its longest axis."""
    k, j, i = shape_kji
    yield from _halved(((0, k), (0, j), (0, i)), largest)


def _halved(part: Part, largest: int) -> Iterator[Part]:
    lengths = [stop - start for start, stop in part]
    longest = max(range(3), key=lambda axis: lengths[axis])
    if math.prod(lengths) <= largest or lengths[longest] < 2 * STEP:
        yield part
        return
    start, stop = part[longest]
    middle = start + lengths[longest] // 2 // STEP * STEP
    for half in ((start, middle), (middle, stop)):
        k, j, i = (half if axis == longest else span for axis, span in enumerate(part))
        yield from _halved((k, j, i), largest)


def _around(part: Part, shape_kji: tuple[int, ...]) -> Part:
    k, j, i = ((max(0, a - MARGIN), min(n, b + MARGIN)) for (a, b), n in zip(part, shape_kji, strict=True))
    return k, j, i
