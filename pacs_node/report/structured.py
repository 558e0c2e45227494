"""The report: TID 1500 with the findings, or "no nodule found", or "not analysed because ...".

Every study that is answered gets one. Called from `composing`.

References
----------
PS3.16 TID 1500, 1411, 1501, 1204, 1002, 4019; PS3.3 A.35.2, A.35.3, A.35.13.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from highdicom import sr
from highdicom.base import SOPClass
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr.value_types import CodeContentItem, ContainerContentItem, ContentSequence, TextContentItem
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from inference.findings import Result
from pacs_node.domain.rule import Reason
from pacs_node.report import codes
from pacs_node.report.identity import VERSION, device_uid, uid
from pacs_node.report.measurements import linear_group, volumetric_group
from pacs_node.report.request import DocumentRole, ReportRequest, SrClass
from pacs_node.report.source import instance_stand_in
from pacs_node.report.stamp import MANUFACTURER, MODEL_NAME, RESEARCH_USE, ascii_text, stamp

_SOP_CLASS: dict[SrClass, Any] = {
    SrClass.COMPREHENSIVE_3D: sr.Comprehensive3DSR,
    SrClass.COMPREHENSIVE: sr.ComprehensiveSR,
    SrClass.ENHANCED: sr.EnhancedSR,
}
_CONTAINS = sr.RelationshipTypeValues.CONTAINS
_HAS_CONCEPT_MOD = sr.RelationshipTypeValues.HAS_CONCEPT_MOD
_DEFINITIONS = (
    "Diameter: of the sphere that has the volume of the segment. Long axis: largest in-plane distance between outline "
    "points over all axial slices. Short axis: longest chord perpendicular to it on that slice."
)


def structured_report(request: ReportRequest, segmentations: Sequence[Dataset]) -> Dataset:
    """The report of a request.

    highdicom copies and searches the whole tree several times, so it gets the trunk only, and the rest is added after.

    Parameters
    ----------
    segmentations : the SEG documents that it refers to, listed as evidence
    """
    document: SOPClass = _SOP_CLASS[request.options.sr_class](
        evidence=[instance_stand_in(request)],
        content=_trunk(request)[0],
        series_instance_uid=uid(request.identity, f"{DocumentRole.SR}-series"),
        series_number=911,
        sop_instance_uid=uid(request.identity, DocumentRole.SR),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=VERSION,
        device_serial_number=ascii_text(request.options.station)[:64],
        series_description="PulmoNode report (research use)",
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=[request.predecessor] if request.predecessor is not None else None,
        coding_schemes=[_private_scheme()] if request.result is None else None,
    )
    document.ContentSequence = [*document.ContentSequence, *_containers(request)]
    document.CurrentRequestedProcedureEvidenceSequence = [_evidence([*request.source, *segmentations])]
    stamp(document, request)
    return document


def _trunk(request: ReportRequest) -> ContentSequence:
    root = ContainerContentItem(name=codes.IMAGING_MEASUREMENT_REPORT, template_id="1500")
    root.ContentSequence = ContentSequence()
    root.ContentSequence.extend(sr.LanguageOfContentItemAndDescendants(_LANGUAGE))
    root.ContentSequence.extend(sr.ObservationContext(observer_device_context=_observer(request)))
    root.ContentSequence.append(_code(codes.PROCEDURE_REPORTED, codes.PROCEDURE_CT, _HAS_CONCEPT_MOD))
    return ContentSequence([root], is_root=True)


_LANGUAGE = Code("en-US", "RFC5646", "English (United States)")


def _observer(request: ReportRequest) -> sr.ObserverContext:
    station = ascii_text(request.options.station)
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=device_uid(station),
        name=station,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=station,
    )
    return sr.ObserverContext(observer_type=codes.DEVICE, observer_identifying_attributes=device)


def _containers(request: ReportRequest) -> Iterator[ContainerContentItem]:
    """Rows 6 and 12 of TID 1500: measurement groups if there are findings, and always statements about the study."""
    findings = request.result.findings if request.result is not None else ()
    if findings:
        groups = ContentSequence()
        for finding in findings:
            groups.extend(volumetric_group(request, finding))
            groups.extend(linear_group(request, finding))
        yield _container(codes.IMAGING_MEASUREMENTS, groups)
    yield _container(codes.QUALITATIVE_EVALUATIONS, ContentSequence(list(_statements(request))))


def _container(name: Code, content: ContentSequence) -> ContainerContentItem:
    container = ContainerContentItem(name=name, relationship_type=_CONTAINS)
    container.ContentSequence = content
    return container


def _statements(request: ReportRequest) -> Iterator[CodeContentItem | TextContentItem]:
    if request.result is None:
        yield from _not_analysed(request.reasons)
    elif request.result.findings:
        yield _code(codes.NODULE, codes.PRESENT)
        yield _text(codes.COMMENT, _DEFINITIONS)
        yield from _explanations(request.result)
    else:
        yield _code(codes.NODULE, codes.ABSENT)
        yield _text(codes.COMMENT, "No nodule found.")
    for model in request.result.models if request.result is not None else ():
        yield _text(
            codes.ALGORITHM_NAME, f"{model.name} version {model.version} ({model.role}), SHA-256 {model.sha256}"
        )
    yield _text(codes.COMMENT, RESEARCH_USE)


def _explanations(result: Result) -> Iterator[TextContentItem]:
    """What the probabilities mean, and which outlines are not by the model that the pipeline names for them."""
    if result.malignancy_labels:
        learned = f"Probability of cancer: as learned from these labels: {result.malignancy_labels}."
        yield _text(codes.COMMENT, learned)
    outliners = [use.name for use in result.models if use.role in ("detector", "segmentation")]
    for finding in result.findings:
        if finding.outlined_by != outliners[-1]:
            why = f"{outliners[-1]} marked nothing there, or cannot see the whole of it"
            yield _text(codes.COMMENT, f"Nodule {finding.number}: outlined by {finding.outlined_by}, because {why}.")


def _not_analysed(reasons: Sequence[Reason]) -> Iterator[CodeContentItem | TextContentItem]:
    yield _code(codes.NODULE, codes.UNDETERMINED)
    if any(reason.code in codes.POOR_QUALITY_REASONS for reason in reasons):
        yield _code(codes.IMAGE_QUALITY, codes.NON_DIAGNOSTIC)
    for reason in reasons:
        yield _code(codes.NOT_ANALYSED_REASON, codes.reason_code(reason.code))
        yield _text(codes.COMMENT, f"Not analysed: {reason.text}")


def _code(name: Code, value: Code, relationship: sr.RelationshipTypeValues = _CONTAINS) -> CodeContentItem:
    return CodeContentItem(name=name, value=value, relationship_type=relationship)


def _text(name: Code, value: str) -> TextContentItem:
    return TextContentItem(name=name, value=ascii_text(value), relationship_type=_CONTAINS)


def _private_scheme() -> CodingSchemeIdentificationItem:
    return CodingSchemeIdentificationItem(
        designator=codes.PRIVATE_SCHEME, name="PulmoNode codes", responsible_organization=MANUFACTURER
    )


def _evidence(instances: Sequence[Dataset]) -> Dataset:
    """Every instance that was analysed or is referred to; all of one study (PS3.3 C.17.2, table C.17-3)."""
    by_series: dict[str, list[Dataset]] = {}
    for instance in {str(instance.SOPInstanceUID): instance for instance in instances}.values():
        item = Dataset()
        item.ReferencedSOPClassUID = instance.SOPClassUID
        item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
        by_series.setdefault(str(instance.SeriesInstanceUID), []).append(item)
    study = Dataset()
    study.StudyInstanceUID = instances[0].StudyInstanceUID
    study.ReferencedSeriesSequence = []
    for series_uid, items in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = series_uid
        series.ReferencedSOPSequence = items
        study.ReferencedSeriesSequence.append(series)
    return study
