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

_MARGIN_HU, _LEAST_MARGIN_HU = 150.0, 40.0
"""How much better another place must be for one nodule, less (with the root of their number) for several. None of 819
LUNA16 nodules under their readers' masks gains as much by 1 or 2 slices of 1, 2 or 3 mm, or by reversal."""
_RING_PIXELS = 3
_AIR_HU, _TISSUE_HU = -1000, 200


def anatomy_problems(frames: Sequence[Frame], source: Source, volume_hu: Hu) -> Iterator[Problem]:
    """Compare the contrast at the stored place with that at shifted, mirrored and reversed places.

    Parameters
    ----------
    frames : of the nodules
    volume_hu : shape (k, j, i), in the order of the source's slices
    """
    segments = _segments(frames, source)
    if not segments:
        return
    here = _contrast_hu(volume_hu, segments)
    margin = max(_MARGIN_HU / math.sqrt(len(segments)), _LEAST_MARGIN_HU)
    for name, move in _moves(source).items():
        there = _contrast_hu(volume_hu, [move(segment) for segment in segments])
        if there > here + margin:
            text = f"The nodules stand out more ({there:.0f} HU against {here:.0f} HU) {name}."
            yield Problem(code="seg.on_anatomy", text=text)


def _segments(frames: Sequence[Frame], source: Source) -> list[Segment]:
    planes: dict[int, list[tuple[int, Points]]] = {}
    for frame in frames:
        place = source.slice_at(frame.position_lps)
        if place is not None and frame.pixels.any():
            planes.setdefault(frame.segment, []).append((place.index, frame.points()))
    return [tuple(sorted(segment, key=lambda plane: plane[0])) for segment in planes.values()]


def _moves(source: Source) -> dict[str, Move]:
    last, rows, columns = len(source.slices) - 1, source.rows - 1, source.columns - 1
    moves: dict[str, Move] = {f"{step:+d} slices away": _shifted(step) for step in (-2, -1, 1, 2)}
    moves["with the order of slices turned around"] = lambda segment: tuple((last - k, at) for k, at in segment)
    moves["with the frames of each nodule turned around"] = _reversed
    moves["with rows turned around"] = lambda segment: tuple((k, (rows, 0) - at * (1, -1)) for k, at in segment)
    moves["with columns turned around"] = lambda segment: tuple((k, (0, columns) - at * (-1, 1)) for k, at in segment)
    if rows == columns:
        moves["with rows and columns exchanged"] = lambda segment: tuple((k, at[:, ::-1]) for k, at in segment)
    return moves


def _shifted(step: int) -> Move:
    return lambda segment: tuple((k + step, at) for k, at in segment)


def _reversed(segment: Segment) -> Segment:
    return tuple((k, at) for (k, _), (_, at) in zip(segment, segment[::-1], strict=True))


def _contrast_hu(volume_hu: Hu, segments: Sequence[Segment]) -> float:
    """Mean over the segments of: mean HU inside minus mean HU of the ring around; outside the volume nothing counts."""
    return float(np.mean([_segment_contrast_hu(volume_hu, segment) for segment in segments]))


def _segment_contrast_hu(volume_hu: Hu, segment: Segment) -> float:
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
