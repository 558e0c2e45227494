"""Whether nodules stand out from what surrounds them where the SEG puts them, and not rather somewhere else.

Catches a wrong geometry that is consistent in itself: a volume turned upside down, or everything off by one slice.
Called from `check`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pacs_node.report.check.frames import Frame, Source
from pacs_node.report.check.problem import Problem

Hu = NDArray[np.int16]
Points = NDArray[np.int64]
Segment = tuple[tuple[int, Points], ...]
Move = Callable[[Segment], Segment]
Score = Callable[[Hu, Segment], float]
"""How much a segment stands out, in HU; what lies outside the volume does not count."""

_MARGIN_HU, _LEAST_MARGIN_HU = 150.0, 40.0
"""How much better another place must be for one nodule, less (with the root of their number) for several. None of 819
LUNA16 nodules under their readers' masks gains as much by 1 or 2 slices of 1, 2 or 3 mm, or by reversal."""
_STEP_MARGIN_HU = 180.0
"""The same for the step across the upper and lower surfaces, 1 slice away: the largest gain of the 819 is 164 HU. Of
their masks one slice off, 72 % gain more at 3 mm (40 % of those over 2 ml, for which the contrast alone never would),
26 % at 2 mm and 5 % at 1 mm, where a slice is less than what readers differ by."""
_RING_PIXELS = 3
_AIR_HU, _TISSUE_HU = -1000, 200


def anatomy_problems(frames: Sequence[Frame], source: Source, volume_hu: Hu) -> Iterator[Problem]:
    """Compare the contrast at the stored place with that at shifted, mirrored and reversed places.

    Parameters
    ----------
    frames : of the nodules
    volume_hu : shape (k, j, i), in the order of the source's slices
    """
    segments = _segments(frames, source, Frame.points_on)
    if segments:
        yield from _better(volume_hu, segments, _moves(source), _contrast_hu, _MARGIN_HU)
        yield from _better(volume_hu, segments, _steps(1), _surface_step_hu, _STEP_MARGIN_HU)
        pixels = _segments(frames, source, lambda frame, _: frame.points())
        here, there = _mean_hu(_contrast_hu, volume_hu, segments), _mean_hu(_contrast_hu, volume_hu, pixels)
        yield from _told("on the pixels of the same row and column", here, there, len(segments), _MARGIN_HU)


def _better(
    volume_hu: Hu, segments: Sequence[Segment], moves: dict[str, Move], score_hu: Score, margin_hu: float
) -> Iterator[Problem]:
    here = _mean_hu(score_hu, volume_hu, segments)
    for name, move in moves.items():
        there = _mean_hu(score_hu, volume_hu, [move(segment) for segment in segments])
        yield from _told(name, here, there, len(segments), margin_hu)


def _told(name: str, here_hu: float, there_hu: float, number: int, margin_hu: float) -> Iterator[Problem]:
    if there_hu > here_hu + max(margin_hu / math.sqrt(number), _LEAST_MARGIN_HU):
        text = f"The nodules stand out more ({there_hu:.0f} HU against {here_hu:.0f} HU) {name}."
        yield Problem(code="seg.on_anatomy", text=text)


def _segments(frames: Sequence[Frame], source: Source, points_of: Callable[[Frame, Source], Points]) -> list[Segment]:
    planes: dict[int, list[tuple[int, Points]]] = {}
    for frame in frames:
        place = source.slice_at(frame.position_lps)
        points = points_of(frame, source)
        if place is not None and len(points):
            planes.setdefault(frame.segment, []).append((place.index, points))
    return [tuple(sorted(segment, key=lambda plane: plane[0])) for segment in planes.values()]


def _moves(source: Source) -> dict[str, Move]:
    last, rows, columns = len(source.slices) - 1, source.rows - 1, source.columns - 1
    moves = _steps(1, 2)
    moves["with the order of slices turned around"] = lambda segment: tuple((last - k, at) for k, at in segment)
    moves["with the frames of each nodule turned around"] = _reversed
    moves["with rows turned around"] = lambda segment: tuple((k, (rows, 0) - at * (1, -1)) for k, at in segment)
    moves["with columns turned around"] = lambda segment: tuple((k, (0, columns) - at * (-1, 1)) for k, at in segment)
    if rows == columns:
        moves["with rows and columns exchanged"] = lambda segment: tuple((k, at[:, ::-1]) for k, at in segment)
    return moves


def _steps(*numbers: int) -> dict[str, Move]:
    return {f"{step:+d} slices away": _shifted(step) for number in numbers for step in (-number, number)}


def _shifted(step: int) -> Move:
    return lambda segment: tuple((k + step, at) for k, at in segment)


def _reversed(segment: Segment) -> Segment:
    return tuple((k, at) for (k, _), (_, at) in zip(segment, segment[::-1], strict=True))


def _mean_hu(score_hu: Score, volume_hu: Hu, segments: Sequence[Segment]) -> float:
    return float(np.mean([score_hu(volume_hu, segment) for segment in segments]))


def _contrast_hu(volume_hu: Hu, segment: Segment) -> float:
    """Mean HU inside minus mean HU of the ring around, slice by slice."""
    inside: list[Hu] = []
    around: list[Hu] = []
    for k, points in segment:
        if 0 <= k < len(volume_hu):
            corner, mask = _window(points, volume_hu.shape[1:])
            values = volume_hu[k, corner[0] : corner[0] + mask.shape[0], corner[1] : corner[1] + mask.shape[1]]
            values = values.clip(_AIR_HU, _TISSUE_HU)
            inside.append(values[mask])
            around.append(values[_grown(mask) & ~mask])
    if not inside or not sum(values.size for values in around):
        return 0.0
    return float(np.concatenate(inside).mean() - np.concatenate(around).mean())


def _surface_step_hu(volume_hu: Hu, segment: Segment) -> float:
    """Mean over the upper and lower surfaces of: HU of the last voxel inside minus HU of the first one outside."""
    last = len(volume_hu) - 1
    planes = {k: {(int(row), int(column)) for row, column in points} for k, points in segment}
    steps: list[Hu] = []
    for k, inside in planes.items():
        for neighbour in (k - 1, k + 1):
            rim = np.asarray(sorted(inside - planes.get(neighbour, set())), np.int64).reshape(-1, 2)
            if 0 <= k <= last and 0 <= neighbour <= last:
                pair = volume_hu[[[k], [neighbour]], rim[:, 0], rim[:, 1]].clip(_AIR_HU, _TISSUE_HU)
                steps.append(pair[0] - pair[1])
    return float(np.concatenate(steps).mean()) if sum(step.size for step in steps) else 0.0


def _window(points: Points, shape: tuple[int, ...]) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    low = np.maximum(points.min(axis=0) - _RING_PIXELS, 0)
    high = np.minimum(points.max(axis=0) + _RING_PIXELS + 1, shape)
    mask = np.zeros(high - low, bool)
    mask[tuple((points - low).T)] = True
    return (int(low[0]), int(low[1])), mask


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = mask.copy()
    for _ in range(_RING_PIXELS):
        wider = grown.copy()
        wider[1:] |= grown[:-1]
        wider[:-1] |= grown[1:]
        wider[:, 1:] |= grown[:, :-1]
        wider[:, :-1] |= grown[:, 1:]
        grown = wider
    return grown
