"""The report: TID 1500 with the findings, or "no nodule found", or "not analysed because ...", in codes and words.

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

from pacs_node.domain.document import SR_CLASS_UID, DocumentRole, SrClass
from pacs_node.report import codes, wording
from pacs_node.report.identity import VERSION, device_uid, uid
from pacs_node.report.measurements import finding_groups
from pacs_node.report.request import ReportRequest
from pacs_node.report.source import instance_stand_in
from pacs_node.report.stamp import MANUFACTURER, MODEL_NAME, ascii_text, stamp

_SOP_CLASS: dict[SrClass, Any] = {
    SrClass.COMPREHENSIVE_3D: sr.Comprehensive3DSR,
    SrClass.COMPREHENSIVE: sr.ComprehensiveSR,
    SrClass.ENHANCED: sr.EnhancedSR,
}
_CONTAINS = sr.RelationshipTypeValues.CONTAINS
_HAS_CONCEPT_MOD = sr.RelationshipTypeValues.HAS_CONCEPT_MOD


def structured_report(request: ReportRequest, segmentations: Sequence[Dataset]) -> Dataset:
    """The report of a request.

    highdicom copies and searches the whole tree several times, so it gets the trunk only, and the rest is added after.

    Parameters
    ----------
    segmentations : the SEG documents that it refers to, listed as evidence
    """
    role = f"{DocumentRole.SR}-{request.options.sr_class}"  # the same UID must never come as another class
    document: SOPClass = _SOP_CLASS[request.options.sr_class](
        evidence=[instance_stand_in(request)],
        content=_trunk(request)[0],
        series_instance_uid=uid(request.identity, f"{role}-series"),
        series_number=911,
        sop_instance_uid=uid(request.identity, role),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=VERSION,
        device_serial_number=ascii_text(request.options.station)[:64],
        series_description="PulmoNode report (research use)",
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=_earlier_reports(request)[:1] or None,
        coding_schemes=[_private_scheme()] if _has_private_codes(request) else None,
    )
    document.ContentSequence = [*document.ContentSequence, *_containers(request)]
    document.CurrentRequestedProcedureEvidenceSequence = [evidence_of([*request.source, *segmentations])]
    stamp(document, request)
    return document


def _earlier_reports(request: ReportRequest) -> list[Dataset]:
    """The report that this one supersedes, first as the same class if it was written as several."""
    kinds = set(SR_CLASS_UID.values())
    reports = [item for item in request.predecessor if item.SOPClassUID in kinds]
    return sorted(reports, key=lambda item: item.SOPClassUID != SR_CLASS_UID[request.options.sr_class])


def _trunk(request: ReportRequest) -> ContentSequence:
    root = ContainerContentItem(name=_title(request), template_id="1500")
    root.ContentSequence = ContentSequence()
    root.ContentSequence.extend(sr.LanguageOfContentItemAndDescendants(LANGUAGE))
    root.ContentSequence.extend(sr.ObservationContext(observer_device_context=_observer(request)))
    root.ContentSequence.append(_code(codes.PROCEDURE_REPORTED, codes.PROCEDURE_CT, _HAS_CONCEPT_MOD))
    return ContentSequence([root], is_root=True)


LANGUAGE = Code("en-US", "RFC5646", "English (United States)")


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


def _title(request: ReportRequest) -> Code:
    """OHIF draws an Imaging Measurement Report, so one without measurements is an empty page; others it shows as text.

    References
    ----------
    PS3.16 TID 1500 row 1: any of CID 7021. OHIF 3.13.2, `OHIFCornerstoneSRViewport`.
    """
    return codes.IMAGING_MEASUREMENT_REPORT if request.findings else codes.ONCOLOGY_MEASUREMENT_REPORT


def _containers(request: ReportRequest) -> Iterator[ContainerContentItem]:
    """Rows 6 and 12 of TID 1500: measurement groups if there are findings, and always statements about the study."""
    if request.findings:
        yield _container(codes.IMAGING_MEASUREMENTS, ContentSequence(list(finding_groups(request))))
    yield _container(codes.QUALITATIVE_EVALUATIONS, ContentSequence(list(_statements(request))))


def _container(name: Code, content: ContentSequence) -> ContainerContentItem:
    container = ContainerContentItem(name=name, relationship_type=_CONTAINS)
    container.ContentSequence = content
    return container


def _statements(request: ReportRequest) -> Iterator[CodeContentItem | TextContentItem]:
    yield from _coded(request)
    yield _text(codes.COMMENT, wording.headline(request))
    for line in wording.finding_lines(request):
        yield _text(codes.FINDING, line)
    for model in wording.models(request):
        yield _text(codes.ALGORITHM_NAME, model)
    for remark in wording.remarks(request):
        yield _text(codes.COMMENT, remark)


def _coded(request: ReportRequest) -> Iterator[CodeContentItem]:
    if request.result is not None:
        yield _code(codes.NODULE, codes.PRESENT if request.findings else codes.ABSENT)
        if request.result.limits:
            yield _code(codes.SERIES_QUALITY, codes.COVERAGE_INCOMPLETE)
        for limit in request.result.limits:
            yield _code(codes.LIMIT, codes.reason_code(limit.code))
        return
    yield _code(codes.NODULE, codes.UNDETERMINED)
    if any(reason.code in codes.POOR_QUALITY_REASONS for reason in request.reasons):
        yield _code(codes.IMAGE_QUALITY, codes.NON_DIAGNOSTIC)
    for reason in request.reasons:
        yield _code(codes.NOT_ANALYSED_REASON, codes.reason_code(reason.code))


def _code(name: Code, value: Code, relationship: sr.RelationshipTypeValues = _CONTAINS) -> CodeContentItem:
    return CodeContentItem(name=name, value=value, relationship_type=relationship)


def _text(name: Code, value: str) -> TextContentItem:
    return TextContentItem(name=name, value=value, relationship_type=_CONTAINS)


def _has_private_codes(request: ReportRequest) -> bool:
    return request.result is None or request.result.limits != ()


def _private_scheme() -> CodingSchemeIdentificationItem:
    return CodingSchemeIdentificationItem(
        designator=codes.PRIVATE_SCHEME, name="PulmoNode codes", responsible_organization=MANUFACTURER
    )


def evidence_of(instances: Sequence[Dataset]) -> Dataset:
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
