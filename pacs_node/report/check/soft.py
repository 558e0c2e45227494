"""Whether a FRACTIONAL SEG lies where the binary one lies, with its largest values there. Called from `check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_node.report.check.examined import Examined, Segment
from pacs_node.report.check.frames import Source, fractional_plane, segment_number
from pacs_node.report.check.geometry import geometry_problems, lossy_problems, reference_problems
from pacs_node.report.check.problem import Problem

Values = NDArray[np.uint8]


def soft_problems(seg: Dataset, examined: Examined) -> Iterator[Problem]:
    """Problems of values, geometry, references, tracking, and of where half is exceeded."""
    yield from lossy_problems(seg, examined.headers)
    if examined.source is None:
        yield _problem("The series has no geometry.")
        return
    yield from geometry_problems(seg, examined.source, examined.headers)
    yield from reference_problems(seg, examined.source, examined.headers)
    if seg.get("SegmentationFractionalType") not in ("PROBABILITY", "OCCUPANCY"):
        yield _problem("It does not say what its values are.")
    if np.frombuffer(seg.PixelData, np.uint8).max() > int(seg.MaximumFractionalValue):
        yield _problem("A value is larger than the largest that it says.")
    numbers = [int(item.SegmentNumber) for item in seg.SegmentSequence]
    if numbers != list(range(1, len(numbers) + 1)):
        yield _problem("Segments are not numbered from 1 without a gap.")
    if examined.segments is not None:
        yield from _agreement(seg, examined.source, {item.tracking_uid: item for item in examined.segments})


def _agreement(seg: Dataset, source: Source, binary: Mapping[str, Segment]) -> Iterator[Problem]:
    for item in seg.SegmentSequence:
        nodule = binary.get(str(item.get("TrackingUID")))
        if nodule is None or nodule.tracking_id != str(item.get("TrackingID")):
            yield _problem(f"Segment {item.SegmentNumber} is tracked as none of the nodules.")
        elif not _is_around(_values(seg, int(item.SegmentNumber), source), nodule):
            yield _problem(f"Segment {item.SegmentNumber} is not largest where the nodule is.")


def _values(seg: Dataset, segment: int, source: Source) -> dict[int, Values]:
    """The frames of a segment by slice."""
    values = {}
    for number, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        place = source.slice_at(np.asarray(frame.PlanePositionSequence[0].ImagePositionPatient, float))
        if segment_number(seg, frame) == segment and place is not None:
            values[place.index] = fractional_plane(seg, number)
    return values


def _is_around(values: Mapping[int, Values], nodule: Segment) -> bool:
    """No value outside the nodule is larger than one inside, whatever threshold has parted them."""
    if not set(nodule.pixels) <= set(values):
        return False
    inside, outside = [], []
    for k, plane in values.items():
        mask = np.zeros(plane.shape, bool)
        for row, column in nodule.pixels.get(k, ()):
            mask[row, column] = True
        inside.append(plane[mask])
        outside.append(plane[~mask])
    least = int(np.concatenate(inside).min(initial=255))
    return least > 0 and least >= int(np.concatenate(outside).max(initial=0))


def _problem(text: str) -> Problem:
    return Problem(code="soft", text=text)
