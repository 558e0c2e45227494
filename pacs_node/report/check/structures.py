"""Whether an RT Structure Set outlines what the SEG holds, nodule by nodule and slice by slice. Called from `check`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from pacs_node.report.check.examined import Examined, Segment
from pacs_node.report.check.frames import POSITION_TOLERANCE_MM, Array, Source
from pacs_node.report.check.polygons import enclosed
from pacs_node.report.check.problem import Problem


def structure_problems(document: Dataset, examined: Examined) -> Iterator[Problem]:
    """Problems of regions, their tracking, their contours and the frame of reference."""
    regions = {int(item.ROINumber): item for item in document.StructureSetROISequence}
    contours = {int(item.ReferencedROINumber): item for item in document.ROIContourSequence}
    observed = {int(item.ReferencedROINumber) for item in document.RTROIObservationsSequence}
    segments = {segment.number: segment for segment in examined.segments or ()}
    if not set(regions) == set(contours) == observed:
        yield _problem("The regions do not have one item of contours and one of observations each.")
    if examined.segments is not None and set(regions) != set(segments):
        yield _problem("The regions are not those of the SEG.")
    yield from _frame_of_reference(document, examined)
    if document.get("ApprovalStatus") != "UNAPPROVED":
        yield _problem("A structure set that no person approved must be UNAPPROVED.")
    for number in sorted(set(regions) & set(contours) & set(segments)):
        for text in _region(regions[number], contours[number], segments[number], examined):
            yield _problem(f"Region {number}: {text}")


def _frame_of_reference(document: Dataset, examined: Examined) -> Iterator[Problem]:
    named = [document.get("FrameOfReferenceUID")]
    named += [item.ReferencedFrameOfReferenceUID for item in document.StructureSetROISequence]
    named += [item.FrameOfReferenceUID for item in document.ReferencedFrameOfReferenceSequence]
    expected = str(examined.headers[0].get("FrameOfReferenceUID") or named[0])
    if {str(uid) for uid in named} != {expected}:
        yield _problem("The frame of reference is not that of the CT.")


def _region(region: Dataset, contour: Dataset, segment: Segment, examined: Examined) -> Iterator[str]:
    if str(region.ROIName) != segment.tracking_id[:64] or segment.tracking_uid not in str(region.ROIDescription):
        yield "its name or description is not the tracking of the segment"
    if abs(1000.0 * float(region.ROIVolume) - segment.volume_mm3) > 0.01 * segment.volume_mm3:
        yield "its volume is not that of the segment"
    if examined.source is not None:
        yield from _contours(contour, segment, examined, examined.source)


def _contours(contour: Dataset, segment: Segment, examined: Examined, source: Source) -> Iterator[str]:
    polygons: dict[int, list[Array]] = {}
    for item in contour.ContourSequence:
        points_lps = np.asarray(item.ContourData, float).reshape(-1, 3)
        if item.ContourGeometricType != "CLOSED_PLANAR" or len(points_lps) != int(item.NumberOfContourPoints):
            yield "a contour is not closed or has another number of points than it says"
        k, points = _on_slice(points_lps, source)
        if k is None:
            yield "a contour lies on no slice of the CT"
        elif examined.slice_of(item.ContourImageSequence[0]) != (k,):
            yield "a contour lies on another slice than the image that it names"
        else:
            polygons.setdefault(k, []).append(points)
    if set(polygons) != set(segment.pixels) or any(enclosed(polygons[k]) != segment.pixels[k] for k in polygons):
        yield "its contours do not enclose the pixels of the segment"


def _on_slice(points_lps: Array, source: Source) -> tuple[int | None, Array]:
    """The slice that all points lie on, and the points as (row, column)."""
    heights = (points_lps[:, None] - source.positions_lps) @ source.normal
    near = np.flatnonzero(np.abs(heights).max(axis=0) <= POSITION_TOLERANCE_MM)
    if near.size != 1:
        return None, points_lps[:, :2]
    offsets = points_lps - source.positions_lps[near[0]]
    axes = np.stack([source.column_direction, source.row_direction], axis=1)
    return source.slices[near[0]].index, offsets @ axes / np.asarray(source.pixel_spacing_mm)


def _problem(text: str) -> Problem:
    return Problem(code="structures", text=text)
