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
_STEPS = 64
_SIDE = np.linspace(-0.5, 0.5, _STEPS + 1)
_SQUARE = np.concatenate([[(-0.5, x), (0.5, x), (x, -0.5), (x, 0.5)] for x in _SIDE])
"""Points on the four sides of a pixel."""


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
        widest = _widest_mm(planes[long.index], along, spacing)
        if abs(short.length_mm - widest) > tolerance:
            yield f"{_SHORT} is {short.length_mm:.1f} mm, the segment measures {widest:.1f} mm across"
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


def _widest_mm(points: NDArray[np.int64], along: Array, spacing: Array) -> float:
    """Largest distance of two points of the rim on a line across `along`; the rim is sampled every 1/64 of a pixel.

    Samples are sorted into strips that are as narrow, so that lines which only touch a corner count too.
    """
    samples = (_rim(points)[:, None] + _SQUARE).reshape(-1, 2) * spacing
    strips = np.floor(samples @ along / (spacing.max() / _STEPS)).astype(int)
    heights = samples @ np.array([-along[1], along[0]])
    strips -= strips.min()
    low, high = np.full(strips.max() + 2, np.inf), np.full(strips.max() + 2, -np.inf)
    np.minimum.at(low, strips, heights)
    np.maximum.at(high, strips, heights)
    return float((np.maximum(high[1:], high[:-1]) - np.minimum(low[1:], low[:-1])).max())


def _rim(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Pixels with a side to the outside."""
    inside = {(int(row), int(column)) for row, column in points}
    steps = ((-1, 0), (1, 0), (0, -1), (0, 1))
    rim = [pixel for pixel in inside if any((pixel[0] + dy, pixel[1] + dx) not in inside for dy, dx in steps)]
    return np.asarray(sorted(rim), np.int64)
