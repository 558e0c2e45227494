"""Whether the numbers of a report are those of the segments, measured again from the bits. Called from `check`.

Tolerances: volume 1 %, axes one pixel diagonal and 0.1 mm, attenuation 1 HU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pacs_node.report.check.axes import line_texts
from pacs_node.report.check.document import groups_of, tracking_of
from pacs_node.report.check.frames import Array, Frame, Source
from pacs_node.report.check.problem import Problem
from pacs_node.report.check.tree import Node, code_of

_UNITS = {
    "118565006": {"mm3": 1.0, "cm3": 1000.0},
    "81827009": {"mm": 1.0, "cm": 10.0},
    "103339001": {"mm": 1.0, "cm": 10.0},
    "103340004": {"mm": 1.0, "cm": 10.0},
    "112181": {"[hnsf'U]": 1.0},
    "112183": {"[hnsf'U]": 1.0},
    "111012": {"%": 1.0},
    "111047": {"%": 1.0},
}
"""Units that a concept may have, each with its factor to mm3, mm, HU or percent."""
_VOLUME, _DIAMETER = "118565006", "81827009"
_MEAN_HU, _SD_HU, _CERTAINTY, _CANCER = "112181", "112183", "111012", "111047"
_ROUNDING = 0.05 + 1e-6
"""Values are written with one decimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a segment really is; HU are None without the volume."""

    planes: dict[int, NDArray[np.int64]]
    volume_mm3: float
    hu: Array | None


def measure_segment(frames: Sequence[Frame], source: Source, volume_hu: NDArray[np.int16] | None) -> Measured:
    """Measure a segment from its frames and where their headers put them; frames that lie on no slice do not count."""
    placed = [(source.slice_at(frame.position_lps), frame) for frame in frames]
    lying = [(place.index, frame) for place, frame in placed if place is not None]
    planes = {k: frame.points_on(source) for k, frame in lying}
    volume_mm3 = sum(frame.voxel_mm3 * np.count_nonzero(frame.pixels) for _, frame in lying)
    hu = None
    if volume_hu is not None:
        hu = np.concatenate([volume_hu[k][points[:, 0], points[:, 1]] for k, points in planes.items()]).astype(float)
    return Measured(planes=planes, volume_mm3=float(volume_mm3), hu=hu)


def value_problems(
    root: Node, seg: Dataset, frames: Sequence[Frame], source: Source, volume_hu: NDArray[np.int16] | None
) -> Iterator[Problem]:
    """Values of all measurement groups that are not those of their segments."""
    number_of = {str(item.get("TrackingUID", "")): int(item.SegmentNumber) for item in seg.SegmentSequence}
    measured = {
        number: measure_segment([frame for frame in frames if frame.segment == number], source, volume_hu)
        for number in number_of.values()
    }
    for group in groups_of(root):
        tracking_uid, _ = tracking_of(group)
        if tracking_uid not in number_of:
            yield _problem("A measurement group belongs to no segment.")
            continue
        number = number_of[tracking_uid]
        for text in _group_problems(group, number, seg, measured[number], source):
            yield _problem(f"Nodule {number}: {text}")


def _group_problems(group: Node, number: int, seg: Dataset, measured: Measured, source: Source) -> Iterator[str]:
    values = {}
    for node in group.children:
        if node.value_type == "NUM":
            value, text = _value(node)
            values[node.name[0]] = value
            if text:
                yield text
    if group.named("121191"):
        yield from _reference(group.named("121191")[0], number, seg)
        yield from _scalars(values, measured)
        yield from _percentages(group, values)
    else:
        yield from line_texts(group, values, measured.planes, source)


def _value(node: Node) -> tuple[float, str]:
    measured = node.item.MeasuredValueSequence[0]
    unit = code_of(measured, "MeasurementUnitsCodeSequence")
    factor = _UNITS.get(node.name[0], {}).get(unit[0] if unit[1] == "UCUM" else "")
    value = float(measured.NumericValue)
    if factor is None:
        return value, f"the unit of {node.name[0]} is not one it can have"
    exact = measured.get("FloatingPointValue")
    differ = "" if exact in (None, value) else f"the two numbers of {node.name[0]} differ"
    return value * factor, differ


def _reference(node: Node, number: int, seg: Dataset) -> Iterator[str]:
    reference = node.item.ReferencedSOPSequence[0]
    if str(reference.ReferencedSOPInstanceUID) != str(seg.SOPInstanceUID):
        yield "the group refers to another SEG"
    if int(reference.ReferencedSegmentNumber) != number:
        yield "the group refers to another segment than its Tracking UID"


def _scalars(values: dict[str, float], measured: Measured) -> Iterator[str]:
    expected = {_VOLUME: measured.volume_mm3, _DIAMETER: (6.0 * measured.volume_mm3 / math.pi) ** (1.0 / 3.0)}
    tolerance = {_VOLUME: 0.01 * measured.volume_mm3, _DIAMETER: 0.01 * expected[_DIAMETER], _MEAN_HU: 1.0, _SD_HU: 1.0}
    if measured.hu is not None and measured.hu.size:
        expected |= {_MEAN_HU: float(measured.hu.mean()), _SD_HU: float(measured.hu.std())}
    for concept in (_VOLUME, _DIAMETER, _MEAN_HU, _SD_HU):
        if concept not in values:
            yield f"{concept} is missing"
        elif concept in expected and abs(values[concept] - expected[concept]) > tolerance[concept] + _ROUNDING:
            yield f"{concept} is {values[concept]:g}, the segment has {expected[concept]:.1f}"


def _percentages(group: Node, values: dict[str, float]) -> Iterator[str]:
    """Percentages lie in 0..100 with one decimal; a certainty below 1 % is a fraction that lost its factor."""
    for concept in (_CERTAINTY, _CANCER):
        for node in group.named(concept):
            value = float(node.item.MeasuredValueSequence[0].NumericValue)
            if not 0.0 <= value <= 100.0 or abs(value - round(value, 1)) > 1e-9:
                yield f"{concept} is not a percentage with one decimal"
    if _CERTAINTY not in values or values[_CERTAINTY] < 1.0:
        yield f"{_CERTAINTY} is missing or a fraction"


def _problem(text: str) -> Problem:
    return Problem(code="sr.values", text=text)
