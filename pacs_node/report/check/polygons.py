"""Outlines compared with the pixels that they should enclose. Used by `structures`, `presentation` and `cad`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pacs_node.report.check.frames import Array

Pixels = set[tuple[int, int]]
"""Row and column of each."""


def enclosed(polygons: Iterable[Array]) -> Pixels:
    """Pixels whose centres lie inside an odd number of polygons (so that holes, and channels to them, stay out).

    Parameters
    ----------
    polygons : shape (n, 2) each, corners as (row, column), the centre of the first pixel being (0, 0); closed or not
    """
    inside: Pixels = set()
    for polygon in polygons:
        inside ^= _enclosed_by_one(polygon)
    return inside


def pixels_of(planes: Mapping[int, NDArray[np.int64]]) -> dict[int, Pixels]:
    """The pixels of a segment by slice."""
    return {k: {(int(row), int(column)) for row, column in points} for k, points in planes.items()}


def union(segments: Sequence[Mapping[int, Pixels]]) -> dict[int, Pixels]:
    """The pixels of several segments by slice."""
    together: dict[int, Pixels] = {}
    for segment in segments:
        for k, pixels in segment.items():
            together.setdefault(k, set()).update(pixels)
    return together


def _enclosed_by_one(polygon: Array) -> Pixels:
    """Row by row: centres with an odd number of crossings to their left."""
    starts, ends = polygon, np.roll(polygon, -1, axis=0)
    inside: Pixels = set()
    for row in range(int(np.floor(polygon[:, 0].min())), int(np.ceil(polygon[:, 0].max())) + 1):
        crosses = (starts[:, 0] <= row) != (ends[:, 0] <= row)
        first, last = starts[crosses], ends[crosses]
        share = (row - first[:, 0]) / (last[:, 0] - first[:, 0])
        columns = np.sort(first[:, 1] + share * (last[:, 1] - first[:, 1]))
        for left, right in zip(columns[::2], columns[1::2], strict=True):
            inside.update((row, column) for column in range(int(np.ceil(left)), int(np.ceil(right))))
    return inside
