"""Outlines of a mask in one slice, along the edges of its pixels, so that the polygon holds what the mask holds.

Geometry only. Called from `structures` and `cad`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inference.volume import BoolArray

Corner = tuple[int, int]
Edge = tuple[Corner, Corner]
Loop = list[Corner]


def contours(mask_ji: BoolArray) -> list[NDArray[np.int64]]:
    """One closed polygon for every part of a mask (4 neighbours); a hole is joined to it by a channel without width.

    The channel runs along edges of pixels too: no centre of a pixel ever lies on a polygon.

    Parameters
    ----------
    mask_ji : shape (row, column)

    Returns
    -------
    shape (n, 2) each: corners as (row, column), where the first pixel reaches from 0 to 1; the first corner is not
    repeated at the end, and no corner lies on the straight line between its neighbours; in order of the uppermost,
    then leftmost corner

    References
    ----------
    PS3.3 C.8.8.6.3 (keyhole technique).
    """
    return [np.array(_straightened(part)) for part in _parts(mask_ji)]


def single_contour(mask_ji: BoolArray) -> NDArray[np.int64] | None:
    """The same as one polygon that meets itself where parts touch at a corner; None if there are parts that do not."""
    whole, *parts = _parts(mask_ji)
    while parts:
        touching = next((part for part in parts if set(part) & set(whole)), None)
        if touching is None:
            return None
        parts.remove(touching)
        corner = min(set(touching) & set(whole))
        at = whole.index(corner)
        whole[at:at] = _from(corner, touching)
    return np.array(_straightened(whole))


def _parts(mask_ji: BoolArray) -> list[Loop]:
    """All corners of the border of every part, its holes joined to it."""
    loops = list(_loops(mask_ji))
    parts = [loop for loop in loops if _twice_area(loop) > 0]
    holes = [_from(min(loop, key=_leftmost), loop) for loop in loops if _twice_area(loop) < 0]
    for hole in sorted(holes, key=lambda loop: _leftmost(loop[0])):
        _join(parts, hole)
    return parts


def _loops(mask_ji: BoolArray) -> Iterator[Loop]:
    """Borders with the mask on their right hand, all corners on the way; a part comes out clockwise, a hole the other
    way round. Pixels that only touch at a corner are apart."""
    ends = _ends(mask_ji)
    edges = dict.fromkeys((start, end) for start in sorted(ends) for end in ends[start])
    while edges:
        first = edge = next(iter(edges))
        loop: Loop = []
        while not loop or edge != first:
            loop.append(edge[0])
            del edges[edge]
            edge = _following(edge, ends)
        yield loop


def _ends(mask_ji: BoolArray) -> dict[Corner, list[Corner]]:
    """Where the border goes on from each of its corners, one edge of a pixel further."""
    padded = np.pad(mask_ji, 1)
    ends: dict[Corner, list[Corner]] = {}
    for (row, column), start, end in _SIDES:
        beyond = np.roll(padded, (-row, -column), (0, 1))[1:-1, 1:-1]
        for j, i in np.argwhere(mask_ji & ~beyond).tolist():
            ends.setdefault((j + start[0], i + start[1]), []).append((j + end[0], i + end[1]))
    return ends


_SIDES: tuple[tuple[Corner, Corner, Corner], ...] = (
    ((-1, 0), (0, 0), (0, 1)),
    ((0, 1), (0, 1), (1, 1)),
    ((1, 0), (1, 1), (1, 0)),
    ((0, -1), (1, 0), (0, 0)),
)
"""For each neighbour of a pixel: the edge towards it, from corner to corner."""


def _following(edge: Edge, ends: dict[Corner, list[Corner]]) -> Edge:
    """The next edge; where two pixels touch at a corner the one that stays at the same pixel, to the right."""
    (row, column), (next_row, next_column) = edge
    right = (next_row + next_column - column, next_column - next_row + row)
    return edge[1], right if right in ends[edge[1]] else ends[edge[1]][0]


def _twice_area(loop: Loop) -> int:
    """Positive if it runs clockwise on the screen."""
    rows, columns = np.array(loop).T
    return int((columns * np.roll(rows, -1) - rows * np.roll(columns, -1)).sum())


def _leftmost(corner: Corner) -> Corner:
    """Sorts corners from the left, then from above."""
    return corner[1], corner[0]


def _from(corner: Corner, loop: Loop) -> Loop:
    """The loop, beginning at one of its corners."""
    first = loop.index(corner)
    return loop[first:] + loop[:first]


def _join(parts: list[Loop], hole: Loop) -> None:
    """Join a hole to the part around it, to the left. Holes further left have to be joined before.

    Both pixels at the left of the corner belong to the part, or the hole would go on there; so do all pixels on both
    sides of the way, up to the first corner of a border, which therefore is one of the same part.
    """
    row, column = hole[0]
    while True:
        column -= 1
        for part in parts:
            if (row, column) in part:
                at = part.index((row, column))
                part[at:at] = [(row, column), *hole, hole[0]]
                return


def _straightened(loop: Loop) -> Loop:
    """Without the corners that the line goes straight through."""
    neighbours = zip([loop[-1], *loop[:-1]], loop, [*loop[1:], loop[0]], strict=True)
    return [here for before, here, after in neighbours if _step(before, here) != _step(here, after)]


def _step(here: Corner, there: Corner) -> Corner:
    """The direction from one corner to another along a line of the grid, of length 1."""
    row, column = there[0] - here[0], there[1] - here[1]
    return (row > 0) - (row < 0), (column > 0) - (column < 0)
