"""Windows over a field: which ones there are, and their values in batches; no model.

Called from `inference.pipeline`, `inference.search` and `inference.classify`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from inference.geometry import Point, Shape
from inference.volume import BoolArray

FloatTensor = NDArray[np.float32]
Window = tuple[slice, slice, slice]


def window_starts(lungs_kji: BoolArray, roi_kji: Shape, stride_kji: Shape) -> tuple[Shape, ...]:
    """First voxels of all windows that hold lung, in index order.

    Parameters
    ----------
    lungs_kji : along each axis at least one window long; the last window ends where it ends
    """
    axes = zip(lungs_kji.shape, roi_kji, stride_kji, strict=True)
    k, j, i = ([*range(0, length - roi, stride), length - roi] for length, roi, stride in axes)
    return tuple(start for start in itertools.product(k, j, i) if lungs_kji[window(start, roi_kji)].any())


def window(start_kji: Shape, roi_kji: Shape) -> Window:
    """The index of a window."""
    k, j, i = (slice(start, start + length) for start, length in zip(start_kji, roi_kji, strict=True))
    return k, j, i


def batches(
    values_kji: FloatTensor, starts: Sequence[Shape], roi_kji: Shape, size: int
) -> Iterator[tuple[Sequence[Shape], FloatTensor]]:
    """Windows in groups of `size` (the last one may be smaller): their starts and values of shape (B, 1, k, j, i)."""
    for first in range(0, len(starts), size):
        group = starts[first : first + size]
        yield group, np.stack([values_kji[window(start, roi_kji)] for start in group])[:, None]


def closest_window(centre_kji: Point, starts: Sequence[Shape], roi_kji: Shape) -> Shape:
    """The window whose centre is closest to a point; of several the first."""
    centres = np.asarray(starts) + (np.asarray(roi_kji) - 1) / 2.0
    return starts[int(np.argmin(((centres - centre_kji) ** 2).sum(axis=1)))]
