"""Chest CAD SR: the findings as marks on single images, for systems that show the marks of CAD and no other report.

Each nodule is one Single Image Finding on the slice of its long axis. Called from `composing`.

References
----------
PS3.3 A.35.6; PS3.16 TID 4100, 4101, 4104, 4107, 4015, 4017, 4019, CID 6047, CID 6042; PS3.17 F.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from highdicom import sr
from highdicom.sr import RelationshipTypeValues as Relation
from highdicom.sr.value_types import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    ScoordContentItem,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ChestCADSRStorage

from inference.findings import Axis, Finding
from pacs_node.domain.document import DocumentRole
from pacs_node.report import codes
from pacs_node.report.contours import single_contour
from pacs_node.report.identity import VERSION, uid
from pacs_node.report.measurements import tracking_identifier, tracking_uid
from pacs_node.report.request import ReportRequest
from pacs_node.report.source import SliceReference, instance_stand_in, slice_reference, slices_of
from pacs_node.report.stamp import MANUFACTURER, MODEL_NAME, ascii_text, stamp, versions
from pacs_node.report.structured import LANGUAGE, evidence_of


def chest_cad_report(request: ReportRequest) -> Dataset:
    """What was found, that nothing was found, or that no algorithm succeeded."""
    root = ContainerContentItem(name=codes.CHEST_CAD_REPORT, is_content_continuous=False, template_id="4100")
    root.ContentSequence = ContentSequence(sr.LanguageOfContentItemAndDescendants(LANGUAGE))
    document = sr.ComprehensiveSR(
        evidence=[instance_stand_in(request)],
        content=root,
        series_instance_uid=uid(request.identity, f"{DocumentRole.CAD}-series"),
        series_number=921,
        sop_instance_uid=uid(request.identity, DocumentRole.CAD),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=VERSION,
        device_serial_number=ascii_text(request.options.station)[:64],
        series_description="PulmoNode chest CAD (research use)",
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=[item for item in request.predecessor if item.SOPClassUID == ChestCADSRStorage] or None,
    )
    document.SOPClassUID = ChestCADSRStorage  # highdicom has no class for it; the modules are the same
    document.ContentSequence = [*document.ContentSequence, _findings(request), _detections(request), _analyses()]
    document.CurrentRequestedProcedureEvidenceSequence = [evidence_of(request.source)]
    stamp(document, request)
    return document


def _findings(request: ReportRequest) -> ContentItem:
    """TID 4101."""
    if request.result is None:
        value = codes.NO_ALGORITHM_SUCCEEDED
    else:
        value = codes.SUCCEEDED_WITH_FINDINGS if request.findings else codes.SUCCEEDED_WITHOUT_FINDINGS
    summary = _code(codes.CAD_SUMMARY, value, Relation.CONTAINS)
    return _with(summary, *[_finding(request, finding) for finding in request.findings])


def _finding(request: ReportRequest, finding: Finding) -> ContentItem:
    """TID 4104: a nodule, in the order of its rows."""
    item = _code(codes.SINGLE_IMAGE_FINDING, codes.ABNORMAL_OPACITY, Relation.INFERRED_FROM)
    return _with(
        item,
        _code(codes.SINGLE_IMAGE_FINDING_MODIFIER, codes.NODULE, Relation.HAS_CONCEPT_MOD),
        _code(codes.RENDERING_INTENT, codes.PRESENTATION_REQUIRED, Relation.HAS_CONCEPT_MOD),
        *sr.TrackingIdentifier(uid=tracking_uid(request, finding), identifier=tracking_identifier(request, finding)),
        *_algorithm(request, Relation.HAS_OBS_CONTEXT),
        *_certainties(finding),
        *_geometry(request, finding),
        _axis(request, codes.LONG_AXIS, finding.long_axis),
        _axis(request, codes.SHORT_AXIS, finding.short_axis),
        _number(codes.VOLUME, finding.volume_mm3, codes.CUBIC_MILLIMETRE),
    )


def _certainties(finding: Finding) -> Iterator[ContentItem]:
    yield _number(codes.CERTAINTY, 100.0 * finding.score, codes.PERCENT)
    if finding.malignancy is not None:
        yield _number(codes.PROBABILITY_OF_CANCER, 100.0 * finding.malignancy, codes.PERCENT)


def _geometry(request: ReportRequest, finding: Finding) -> Iterator[ContentItem]:
    """TID 4107: centre of mass on the slice, and the outline if one line is enough for it."""
    k = finding.long_axis.slice_k
    plane = finding.mask.voxels[k - finding.mask.start_kji[0]]
    corner, reference = finding.mask.start_kji[1:], slice_reference(request, k)
    centre = np.argwhere(plane).mean(axis=0, keepdims=True) + corner + 0.5
    yield _drawn(codes.CENTRE, centre, reference, Relation.HAS_PROPERTIES)
    outline = single_contour(plane)
    if outline is not None:
        line = np.concatenate([outline, outline[:1]]) + corner
        yield _drawn(codes.OUTLINE, line, reference, Relation.HAS_PROPERTIES)


def _axis(request: ReportRequest, name: Code, axis: Axis) -> ContentItem:
    """TID 1400: the length, and the line that it was measured along."""
    line = np.array(axis.ends_ji) + 0.5
    drawn = _drawn(codes.PATH, line, slice_reference(request, axis.slice_k), Relation.INFERRED_FROM)
    return _with(_number(name, axis.length_mm, codes.MILLIMETRE), drawn)


def _drawn(name: Code, corners: NDArray[Any], reference: SliceReference, relation: Relation) -> ContentItem:
    """A point or a line on a slice.

    Parameters
    ----------
    corners : shape (n, 2) as (row, column); the first pixel reaches from 0 to 1 (PS3.3 C.18.6)
    """
    kind = sr.GraphicTypeValues.POINT if len(corners) == 1 else sr.GraphicTypeValues.POLYLINE
    item = ScoordContentItem(name=name, graphic_type=kind, graphic_data=corners[:, ::-1], relationship_type=relation)
    frames = (reference.frame_number,) if reference.frame_number is not None else ()
    image = (reference.sop_class_uid, reference.sop_instance_uid, frames)
    return _with(item, _image(image, Relation.SELECTED_FROM))


def _detections(request: ReportRequest) -> ContentItem:
    """TID 4015 and 4017: that nodules were looked for, by what, on which images, and whether that succeeded."""
    status, container = codes.SUCCEEDED, codes.SUCCESSFUL_DETECTIONS
    if request.result is None:
        status, container = codes.FAILED, codes.FAILED_DETECTIONS
    detection = _with(
        _code(codes.DETECTION_PERFORMED, codes.NODULE, Relation.CONTAINS),
        *_algorithm(request, Relation.HAS_PROPERTIES),
        *[_image(image, Relation.HAS_PROPERTIES) for image in _images(request)],
    )
    performed = ContainerContentItem(
        name=container, is_content_continuous=False, relationship_type=Relation.INFERRED_FROM
    )
    return _with(_code(codes.SUMMARY_OF_DETECTIONS, status, Relation.CONTAINS), _with(performed, detection))


def _analyses() -> ContentItem:
    """None of those that CID 6137 knows, such as a comparison with an earlier CT, is ever made."""
    return _code(codes.SUMMARY_OF_ANALYSES, codes.NOT_ATTEMPTED, Relation.CONTAINS)


def _images(request: ReportRequest) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    """The instances that were looked at, or would have been."""
    if request.result is None:
        return tuple((str(item.SOPClassUID), str(item.SOPInstanceUID), ()) for item in request.source)
    return slices_of([slice_reference(request, k) for k in range(request.result.grid.shape_kji[0])])


def _algorithm(request: ReportRequest, relation: Relation) -> Iterator[ContentItem]:
    """TID 4019."""
    items = sr.AlgorithmIdentification(
        name=ascii_text(f"{MODEL_NAME} {request.identity.pipeline}".strip()),
        version=versions(request.result.models if request.result is not None else ()),
        manufacturer=MANUFACTURER,
        family=codes.ARTIFICIAL_INTELLIGENCE,
    )
    for item in items:
        item.RelationshipType = relation.value
        yield item


def _image(image: tuple[str, str, tuple[int, ...]], relation: Relation) -> ContentItem:
    sop_class, instance, frames = image
    return ImageContentItem(
        name=codes.SOURCE_IMAGE,
        referenced_sop_class_uid=sop_class,
        referenced_sop_instance_uid=instance,
        referenced_frame_numbers=list(frames) or None,
        relationship_type=relation,
    )


def _number(name: Code, value: float, unit: Code) -> ContentItem:
    """A number as the report gives it."""
    return NumContentItem(name, round(float(value), 1), unit, relationship_type=Relation.HAS_PROPERTIES)


def _code(name: Code, value: Code, relation: Relation) -> ContentItem:
    return CodeContentItem(name=name, value=value, relationship_type=relation)


def _with(item: ContentItem, *children: ContentItem) -> ContentItem:
    """The item with what is below it; images have no name there, which highdicom insists on."""
    if children:
        item.ContentSequence = ContentSequence(children)
    for child in item.get("ContentSequence", ()):
        if child.ValueType == "IMAGE":
            del child.ConceptNameCodeSequence
    return item
