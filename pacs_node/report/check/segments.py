"""Whether the segments of a SEG are described, numbered, tracked and filled as they must be. Called from `check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset

from pacs_node.report.check.frames import Frame
from pacs_node.report.check.problem import Problem
from pacs_node.report.check.tree import code_of

_NEEDED = (
    "SegmentLabel",
    "SegmentedPropertyCategoryCodeSequence",
    "SegmentedPropertyTypeCodeSequence",
    "SegmentAlgorithmType",
    "SegmentAlgorithmName",
    "RecommendedDisplayCIELabValue",
)
"""Type 1, or 1C for an automatic algorithm (PS3.3 C.8.20.4); without a colour viewers warn."""


def segment_problems(seg: Dataset, frames: Sequence[Frame]) -> Iterator[Problem]:
    """Problems of the segment descriptions and of the frames that fill them."""
    segments = seg.SegmentSequence
    numbers = [int(segment.SegmentNumber) for segment in segments]
    if numbers != list(range(1, len(numbers) + 1)):
        yield _problem("Segments are not numbered from 1 without a gap.")
    for number, segment in zip(numbers, segments, strict=True):
        yield from _description(number, segment)
    yield from _fill(numbers, frames)
    tracking = Counter(str(segment.TrackingUID) for segment in segments if "TrackingUID" in segment)
    if any(count > 1 for count in tracking.values()):
        yield _problem("Two segments have the same Tracking UID.")


def _description(number: int, segment: Dataset) -> Iterator[Problem]:
    for keyword in _NEEDED:
        if not segment.get(keyword):
            yield _problem(f"Segment {number} has no {keyword}.")
    if ("TrackingID" in segment) != ("TrackingUID" in segment):
        yield _problem(f"Segment {number} has only one of Tracking ID and Tracking UID.")
    kind, _ = code_of(segment, "SegmentedPropertyTypeCodeSequence")
    if kind == "27925004" and "TrackingUID" not in segment:
        yield _problem(f"Segment {number} is a nodule without Tracking UID.")


def _fill(numbers: Sequence[int], frames: Sequence[Frame]) -> Iterator[Problem]:
    filled = {frame.segment for frame in frames if frame.pixels.any()}
    if any(not frame.pixels.any() for frame in frames):
        yield _problem("A frame is empty.")
    for number in sorted(set(numbers) - filled):
        yield _problem(f"Segment {number} has no pixel.")
    for number in sorted({frame.segment for frame in frames} - set(numbers)):
        yield _problem(f"Frames name segment {number}, which is not described.")
    if _overlap(frames):
        yield _problem("Segments overlap; viewers would lose one of them.")


def _overlap(frames: Sequence[Frame]) -> bool:
    by_plane: dict[tuple[float, ...], list[Frame]] = {}
    for frame in frames:
        by_plane.setdefault(tuple(np.round(frame.position_lps, 2)), []).append(frame)
    return any(_overlap_in_plane(plane) for plane in by_plane.values() if len(plane) > 1)


def _overlap_in_plane(plane: Sequence[Frame]) -> bool:
    points = np.concatenate([frame.points() for frame in plane])
    return len(np.unique(points, axis=0)) < len(points)


def _problem(text: str) -> Problem:
    return Problem(code="seg.segments", text=text)
