"""Grayscale softcopy presentation state: outlines and axes of the nodules over the original slices.

A viewer that opens it shows the CT in the lung window and vectors on top, sharp at any zoom, that can be switched off.
One state for a result; only a CT whose slices differ in their rescaling, which a state can name but once, needs more.
Called from `composing`.

References
----------
PS3.3 A.33.1 (Grayscale Softcopy Presentation State IOD), C.10.4 (Displayed Area), C.10.5 (Graphic Annotation),
C.10.7 (Graphic Layer), C.11.1 (Modality LUT), C.11.8 (Softcopy VOI LUT), C.11.6 (Softcopy Presentation LUT),
C.11.10 (Presentation State Identification), C.11.11 (Presentation State Relationship).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from highdicom.base import SOPClass
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from inference.findings import Axis, Finding, Result
from inference.volume import BoolArray
from pacs_node.domain.document import DocumentRole
from pacs_node.report.colour import Lab, finding_lab
from pacs_node.report.contours import contours
from pacs_node.report.measurements import tracking_identifier, tracking_uid
from pacs_node.report.overlay import LUNG_WINDOW_HU
from pacs_node.report.request import ReportRequest
from pacs_node.report.source import SliceReference, reference_item, rescale, slice_reference, slices_of
from pacs_node.report.stamp import RESEARCH_USE, blank, stamp

SERIES_NUMBER = 941
_AXES = "AXES"
_WHITE: Lab = (100.0, 0.0, 0.0)

Points = NDArray[np.float64]
Slices = dict[int, list[Finding]]
Names = tuple[str, str]
"""Tracking Identifier and Tracking UID."""


def presentation_states(request: ReportRequest, result: Result) -> Iterator[Dataset]:
    """The states of a result that has findings: one for every rescaling among the slices that hold any."""
    by_rescale: dict[tuple[str, str], Slices] = {}
    for k, findings in sorted(_occupied(result).items()):
        by_rescale.setdefault(rescale(request, k), {})[k] = findings
    for number, (transformation, slices) in enumerate(by_rescale.items(), start=1):
        document = _state(request, number)
        _refer(document, request, slices)
        _display(document, result, transformation)
        _draw(document, request, slices)
        yield _finished(document, request)


def _occupied(result: Result) -> Slices:
    """Every slice that a mask lies in, with the findings there."""
    slices: Slices = {}
    for finding in result.findings:
        for offset in np.flatnonzero(finding.mask.voxels.any(axis=(1, 2))).tolist():
            slices.setdefault(finding.mask.start_kji[0] + offset, []).append(finding)
    return slices


def _state(request: ReportRequest, number: int) -> SOPClass:
    document = blank(
        request, DocumentRole.PRESENTATION, modality="PR", series=(SERIES_NUMBER, "outlines"), number=number
    )
    document.BodyPartExamined = "CHEST"
    document.ContentLabel = "NODULE_OUTLINES"
    document.ContentDescription = f"Lung nodules. {RESEARCH_USE}"[:64]
    document.ContentCreatorName = None
    return document


def _finished(document: SOPClass, request: ReportRequest) -> Dataset:
    stamp(document, request)
    document.PresentationCreationDate, document.PresentationCreationTime = document.ContentDate, document.ContentTime
    del document.ContentDate, document.ContentTime  # not part of this IOD
    return document


def _refer(document: Dataset, request: ReportRequest, slices: Slices) -> None:
    """The slices that hold graphics, and no others."""
    series = Dataset()
    series.SeriesInstanceUID = request.source[0].SeriesInstanceUID
    series.ReferencedImageSequence = []
    for kind, instance, frames in slices_of([slice_reference(request, k) for k in slices]):
        item = reference_item(SliceReference(sop_class_uid=kind, sop_instance_uid=instance, frame_number=None))
        if frames:
            item.ReferencedFrameNumber = list(frames)
        series.ReferencedImageSequence.append(item)
    document.ReferencedSeriesSequence = [series]


def _display(document: Dataset, result: Result, transformation: tuple[str, str]) -> None:
    """The whole slice at its right proportions, in the lung window.

    The state takes the place of all that the image says of its display, so the rescaling to HU is part of it too.
    """
    _, rows, columns = result.grid.shape_kji
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]  # numbers of a column and a row, not coordinates (C.10.4)
    area.DisplayedAreaBottomRightHandCorner = [columns, rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    area.PresentationPixelSpacing = [f"{step_mm:.6g}" for step_mm in result.grid.spacing_mm[1:]]
    document.DisplayedAreaSelectionSequence = [area]
    document.RescaleSlope, document.RescaleIntercept = transformation
    document.RescaleType = "HU"
    low_hu, high_hu = LUNG_WINDOW_HU
    window = Dataset()
    window.WindowCenter, window.WindowWidth = f"{(low_hu + high_hu) / 2:g}", f"{high_hu - low_hu:g}"
    window.WindowCenterWidthExplanation = "Lung"
    document.SoftcopyVOILUTSequence = [window]
    document.PresentationLUTShape = "IDENTITY"


def _draw(document: Dataset, request: ReportRequest, slices: Slices) -> None:
    """Outlines, each finding on a layer of its colour; over them, on one layer, axes and labels."""
    findings = {finding.number: finding for present in slices.values() for finding in present}
    layers = [_layer(_layer_of(f), finding_lab(f.number), f"Outline of nodule {f.number}") for f in findings.values()]
    layers.append(_layer(_AXES, _WHITE, "Long and short axes, and numbers"))
    for order, layer in enumerate(layers, start=1):
        layer.GraphicLayerOrder = order
    document.GraphicLayerSequence = layers
    document.GraphicAnnotationSequence = []
    names = {number: _names(request, finding) for number, finding in findings.items()}
    for k, present in slices.items():
        image = reference_item(slice_reference(request, k))
        for finding in present:
            for annotation in _annotations(finding, k, names[finding.number]):
                annotation.ReferencedImageSequence = [image]
                document.GraphicAnnotationSequence.append(annotation)


def _layer_of(finding: Finding) -> str:
    return f"NODULE_{finding.number}"


def _layer(name: str, lab: Lab, description: str) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer = name
    layer.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
    layer.GraphicLayerRecommendedDisplayCIELabValue = list(CIELabColor(*lab).value)
    layer.GraphicLayerDescription = description
    return layer


def _names(request: ReportRequest, finding: Finding) -> Names:
    return tracking_identifier(request, finding), tracking_uid(request, finding)


def _annotations(finding: Finding, k: int, names: Names) -> Iterator[Dataset]:
    """What lies on a slice of one finding: its outline; and its number, with the axes on the slice of these."""
    start_k, start_j, start_i = finding.mask.start_kji
    outlines = [corners + (start_j, start_i) for corners in _rings(finding.mask.voxels[k - start_k])]
    yield _annotation(_layer_of(finding), [_polyline(np.vstack([ring, ring[:1]])) for ring in outlines], [], names)
    text, lines = str(finding.number), []
    if k == finding.long_axis.slice_k:
        text += f": {finding.long_axis.length_mm:.1f} x {finding.short_axis.length_mm:.1f} mm"
        lines = [_polyline(_corners(axis)) for axis in (finding.long_axis, finding.short_axis)]
    yield _annotation(_AXES, lines, [_text(text, np.vstack(outlines))], names)


def _annotation(layer: str, graphics: list[Dataset], texts: list[Dataset], names: Names) -> Dataset:
    annotation = Dataset()
    annotation.GraphicLayer = layer
    if graphics:
        annotation.GraphicObjectSequence = graphics
    if texts:
        annotation.TextObjectSequence = texts
    for item in (*graphics, *texts):
        item.TrackingID, item.TrackingUID = names
    return annotation


def _rings(plane: BoolArray) -> list[Points]:
    """Borders of a mask as corners (row, column), the first pixel from 0 to 1; those of holes by themselves."""
    whole = ndimage.binary_fill_holes(plane)
    inner = whole & ~plane
    return [*(ring.astype(float) for ring in contours(whole)), *(_rings(inner) if inner.any() else ())]


def _corners(axis: Axis) -> Points:
    """Ends of an axis in the same measure: index 0 is the middle of the first pixel, which lies at 0.5."""
    return np.asarray(axis.ends_ji) + 0.5


def _polyline(corners_ji: Points) -> Dataset:
    """Graphic from corners (row, column).

    GraphicData is column \\ row; 0 \\ 0 is the upper left corner of the first pixel, 1 \\ 1 its lower right one, and
    Columns \\ Rows the lower right corner of the last (PS3.3 table C.10-5, PIXEL).
    """
    graphic = Dataset()
    graphic.GraphicAnnotationUnits, graphic.GraphicDimensions = "PIXEL", 2
    graphic.NumberOfGraphicPoints = len(corners_ji)
    graphic.GraphicData = corners_ji[:, ::-1].ravel().tolist()
    graphic.GraphicType = "POLYLINE"
    if (corners_ji[0] == corners_ji[-1]).all():
        graphic.GraphicFilled = "N"
    return graphic


def _text(text: str, corners_ji: Points) -> Dataset:
    """Text to the right of the upper end of an outline."""
    item = Dataset()
    item.UnformattedTextValue = text
    item.AnchorPointAnnotationUnits, item.AnchorPointVisibility = "PIXEL", "N"
    item.AnchorPoint = [float(corners_ji[:, 1].max()), float(corners_ji[:, 0].min())]
    return item
