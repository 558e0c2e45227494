"""Whether presentation states draw the outlines of the SEG on its very slices. Called from `check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset

from pacs_node.report.check.examined import Examined
from pacs_node.report.check.frames import Array, Slice, functional_group
from pacs_node.report.check.polygons import Pixels, enclosed
from pacs_node.report.check.problem import Problem

Drawn = dict[tuple[str, int], list[Array]]
"""Lines by the Tracking UID and the slice that they are drawn for."""


def presentation_problems(document: Dataset, examined: Examined) -> Iterator[Problem]:
    """Problems of layers, of the images shown and how, and of graphics as such."""
    layers = {str(item.GraphicLayer) for item in document.get("GraphicLayerSequence") or ()}
    shown = {k for item in _listed(document) for k in examined.slice_of(item)}
    for annotation in document.get("GraphicAnnotationSequence") or ():
        slices = _slices(annotation, examined)
        if str(annotation.GraphicLayer) not in layers:
            yield _problem("An annotation lies on a layer that is not declared.")
        if not slices or not set(slices) <= shown:
            yield _problem("An annotation lies on no image, or on one that the state does not list.")
        if any(_points(graphic) is None for graphic in _graphics(annotation)):
            yield _problem("A graphic is not drawn in pixels, or has another number of points than it says.")
    yield from _display(document, examined)


def drawing_problems(states: Sequence[Dataset], examined: Examined) -> Iterator[Problem]:
    """All states together draw every nodule, where the SEG has it, and nothing else."""
    if examined.segments is None:
        return
    drawn: Drawn = {}
    for state in states:
        for annotation in state.get("GraphicAnnotationSequence") or ():
            for k in _slices(annotation, examined):
                for tracking_uid, line in _lines(annotation):
                    drawn.setdefault((tracking_uid, k), []).append(line)
    pixels = {(segment.tracking_uid, k): own for segment in examined.segments for k, own in segment.pixels.items()}
    outlined = {place: enclosed(line for line in lines if len(line) > 2) for place, lines in drawn.items()}
    if outlined != pixels:
        yield _problem("The outlines do not enclose the pixels of the segments that they are tracked as.")
    if not all(_end_inside(lines, pixels.get(place, set())) for place, lines in drawn.items()):
        yield _problem("An axis does not end on its segment.")


def _display(document: Dataset, examined: Examined) -> Iterator[Problem]:
    """A window in HU, which needs the rescaling of the images (PS3.3 C.11.1); the whole of each image."""
    if "SoftcopyVOILUTSequence" not in document or document.get("RescaleType") != "HU":
        yield _problem("It has no window, or none in HU.")
    for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        if not _rescale(document, examined, keyword, default) <= {float(document.get(keyword) or 0.0)}:
            yield _problem(f"{keyword} is not that of the images.")
    source = examined.source
    whole = None if source is None else [1, 1, source.columns, source.rows]
    for area in document.DisplayedAreaSelectionSequence:
        corners = [*area.DisplayedAreaTopLeftHandCorner, *area.DisplayedAreaBottomRightHandCorner]
        if whole is not None and [int(value) for value in corners] != whole:
            yield _problem("It does not show the whole image.")


def _rescale(document: Dataset, examined: Examined, keyword: str, default: float) -> set[float]:
    """The values of the slices shown."""
    headers = {str(header.SOPInstanceUID): header for header in examined.headers}
    shown = {k for item in _listed(document) for k in examined.slice_of(item)}
    places = examined.source.slices if examined.source is not None else ()
    groups = [_transformation(headers[place.sop_instance_uid], place) for place in places if place.index in shown]
    return {float(group.get(keyword, default)) for group in groups}


def _transformation(header: Dataset, place: Slice) -> Dataset:
    try:
        return functional_group(header, place.frame_number, "PixelValueTransformationSequence")
    except KeyError:
        return Dataset()


def _listed(document: Dataset) -> Iterator[Dataset]:
    for series in document.ReferencedSeriesSequence:
        yield from series.ReferencedImageSequence


def _slices(annotation: Dataset, examined: Examined) -> list[int]:
    return [k for item in annotation.ReferencedImageSequence for k in examined.slice_of(item)]


def _graphics(annotation: Dataset) -> Sequence[Dataset]:
    return annotation.get("GraphicObjectSequence") or ()


def _lines(annotation: Dataset) -> Iterator[tuple[str, Array]]:
    for graphic in _graphics(annotation):
        points = _points(graphic)
        if points is not None:
            yield str(graphic.get("TrackingUID")), points


def _points(graphic: Dataset) -> Array | None:
    """Corners as (row, column), the centre of the first pixel being (0, 0) (PS3.3 C.10.5.1.2)."""
    points = np.asarray(graphic.GraphicData, float)
    if graphic.GraphicAnnotationUnits != "PIXEL" or len(points) != 2 * int(graphic.NumberOfGraphicPoints):
        return None
    return points.reshape(-1, 2)[:, ::-1] - 0.5


def _end_inside(lines: Sequence[Array], pixels: Pixels) -> bool:
    """Lines of two points are axes: both ends within a pixel of the segment."""
    inside = np.asarray(sorted(pixels), float).reshape(-1, 2)
    ends = [end for line in lines if len(line) == 2 for end in line]
    return all(len(inside) and np.abs(inside - end).max(axis=1).min() <= 1.0 for end in ends)


def _problem(text: str) -> Problem:
    return Problem(code="presentation", text=text)
