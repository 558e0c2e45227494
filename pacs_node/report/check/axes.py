"""Whether the axes of a report are lines on their segment, as long as they say, and the longest there are.

Called from `check.values`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pacs_node.report.check.frames import Array, Source
from pacs_node.report.check.tree import Node

Planes = dict[int, NDArray[np.int64]]
"""Row and column of every pixel of a segment, by slice."""

_LONG, _SHORT = "103339001", "103340004"
_ROUNDING = 0.05 + 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line of the report: the slice it lies on and its ends as (row, column) indices."""

    index: int
    ends: Array
    length_mm: float


def line_texts(group: Node, values: dict[str, float], planes: Planes, source: Source) -> Iterator[str]:
    """What is wrong with the axes of a group: their lines, and their lengths against the segment in `planes`."""
    lines = {}
    for concept in (_LONG, _SHORT):
        nodes = group.named(concept)
        if len(nodes) != 1 or (line := _line(nodes[0], source)) is None:
            yield f"{concept} is missing or has no line on a slice of the series"
            continue
        lines[concept] = line
        if abs(line.length_mm - values[concept]) > 0.1 + _ROUNDING:
            yield f"{concept} is {values[concept]:g} mm, its line {line.length_mm:.1f} mm"
        yield from _on_segment(concept, line, planes)
    if len(lines) == 2:
        yield from _axes(lines[_LONG], lines[_SHORT], planes, source)


def _line(node: Node, source: Source) -> _Line | None:
    coordinates = [child for child in node.children if child.value_type == "SCOORD"]
    images = [child for item in coordinates for child in item.children if child.value_type == "IMAGE"]
    if len(coordinates) != 1 or len(images) != 1 or coordinates[0].item.GraphicType != "POLYLINE":
        return None
    reference = images[0].item.ReferencedSOPSequence[0]
    frame = reference.get("ReferencedFrameNumber")
    wanted = (str(reference.ReferencedSOPInstanceUID), int(frame) if frame is not None else None)
    places = [place for place in source.slices if (place.sop_instance_uid, place.frame_number) == wanted]
    points = np.asarray(coordinates[0].item.GraphicData, float).reshape(-1, 2)[:, ::-1] - 0.5
    if not places or points.shape != (2, 2):
        return None
    length = float(np.linalg.norm((points[1] - points[0]) * source.pixel_spacing_mm))
    return _Line(index=places[0].index, ends=points, length_mm=length)


def _on_segment(concept: str, line: _Line, planes: Planes) -> Iterator[str]:
    """Both ends within one pixel (along each axis) of a pixel of the segment on that very slice."""
    points = planes.get(line.index)
    if points is None:
        yield f"the line of {concept} lies on a slice without the segment"
    elif any(np.abs(points - end).max(axis=1).min() > 1.0 for end in line.ends):
        yield f"the line of {concept} does not end on the segment"


def _axes(long: _Line, short: _Line, planes: Planes, source: Source) -> Iterator[str]:
    spacing = np.asarray(source.pixel_spacing_mm)
    tolerance = float(np.hypot(*spacing)) + 0.1
    longest = max((_longest_mm(points, spacing) for points in planes.values()), default=0.0)
    if abs(long.length_mm - longest) > tolerance:
        yield f"{_LONG} is {long.length_mm:.1f} mm, the segment measures {longest:.1f} mm"
    if short.index != long.index:
        yield "the axes lie on different slices"
    elif long.index in planes and long.length_mm > 0.0:
        along = (long.ends[1] - long.ends[0]) * spacing / long.length_mm
        lowest, highest = _chord_mm(planes[long.index], along, spacing)
        if not lowest - tolerance <= short.length_mm <= highest + tolerance:
            yield f"{_SHORT} is {short.length_mm:.1f} mm, the segment measures {highest:.1f} mm across"
        if abs(float((short.ends[1] - short.ends[0]) * spacing @ along)) > tolerance:
            yield "the axes are not perpendicular"


def _longest_mm(points: NDArray[np.int64], spacing: Array) -> float:
    """Largest distance of two corners of pixels."""
    corners = _outline_corners(points) * spacing
    squares = (corners**2).sum(axis=1)
    return float(np.sqrt(max((squares[:, None] + squares - 2.0 * corners @ corners.T).max(), 0.0)))


def _outline_corners(points: NDArray[np.int64]) -> Array:
    """Corners of the first and last pixel of every row; no other corner can be an end of the longest distance."""
    ends = []
    for row in np.unique(points[:, 0]):
        columns = points[points[:, 0] == row, 1]
        ends += [(row + dy, edge) for dy in (-0.5, 0.5) for edge in (columns.min() - 0.5, columns.max() + 0.5)]
    return np.asarray(ends, float)


def _chord_mm(points: NDArray[np.int64], along: Array, spacing: Array) -> tuple[float, float]:
    """Longest chord across `along`, found by walking lines in small steps: without and with its gaps."""
    lowest = points.min(axis=0) - 1
    plane = np.zeros(points.max(axis=0) - lowest + 2, bool)
    plane[tuple((points - lowest).T)] = True
    centre, reach = points.mean(axis=0) * spacing, float(np.hypot(*(np.ptp(points, axis=0) + 2) * spacing))
    step = max(float(spacing.min()) / 8.0, reach / 400.0)
    offsets = np.arange(-reach, reach, step)
    across = np.array([-along[1], along[0]])
    walked = centre + offsets[:, None, None] * along + offsets[None, :, None] * across
    index = np.rint(walked / spacing).astype(int) - lowest
    inside = ((index >= 0) & (index < plane.shape)).all(axis=2)
    hit = inside & plane[tuple(np.where(inside[..., None], index, 0).reshape(-1, 2).T)].reshape(inside.shape)
    runs = max((_longest_run(line) for line in hit), default=0)
    spans = max((int(np.ptp(np.flatnonzero(line))) + 1 for line in hit if line.any()), default=0)
    return runs * step, spans * step


def _longest_run(line: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0
