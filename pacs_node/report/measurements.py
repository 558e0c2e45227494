"""What a report says about one finding: a volumetric group, and a group with coordinates under the same Tracking UID.

The pair is the standard's own pattern for a volume with linear distances (PS3.17 RRR.5); viewers need the coordinates.
Called from `structured` (groups) and `segmentation` (tracking).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
from highdicom import sr
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as PlainSequence
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from inference.findings import Attenuation, Axis, Finding, Laterality
from pacs_node.domain.document import DocumentRole
from pacs_node.report import codes
from pacs_node.report.identity import derived_tracking_uid, uid
from pacs_node.report.request import ReportRequest
from pacs_node.report.source import slice_reference, slices_of
from pacs_node.report.stamp import MANUFACTURER, MODEL_NAME, ascii_text, versions

_Source = tuple[str, str, tuple[int, ...]]
_OHIF_TOOL = "Cornerstone3DTools@^0.1.0:Bidirectional:"


def tracking_identifier(request: ReportRequest, finding: Finding) -> str:
    """Name of the finding, the same in SEG and report."""
    return f"{_OHIF_TOOL if request.options.ohif_hydration else ''}Nodule {finding.number}"


def tracking_uid(request: ReportRequest, finding: Finding) -> str:
    """UID of the finding, the same in SEG and report."""
    if request.tracking_uids:
        return request.tracking_uids[finding.number - 1]
    return derived_tracking_uid(request.identity, finding.number)


def algorithm_of(request: ReportRequest) -> sr.AlgorithmIdentification:
    """The pipeline with its models and their hashes (PS3.16 TID 4019)."""
    models = request.result.models if request.result is not None else ()
    return sr.AlgorithmIdentification(
        name=ascii_text(f"{MODEL_NAME} {request.identity.pipeline}"),
        version=versions(models),
        parameters=list(dict.fromkeys(ascii_text(f"{use.name} sha256={use.sha256}") for use in models)) or None,
        manufacturer=MANUFACTURER,
        family=codes.ARTIFICIAL_INTELLIGENCE,
    )


def finding_groups(request: ReportRequest) -> Iterator[sr.ContainerContentItem]:
    """Both groups of every finding, one finding after the other."""
    parts = _Parts(request)
    for finding in request.findings:
        tracking = _tracking(request, finding)
        yield from _volumetric_group(request, finding, tracking, parts)
        yield from _linear_group(finding, tracking, parts)


class _Parts:
    """What several groups of a report have alike, each made once: highdicom takes its time over every content item."""

    def __init__(self, request: ReportRequest) -> None:
        self._request = request
        self.algorithm = algorithm_of(request)
        self.concept = functools.cache(CodedConcept.from_code)
        self.site = functools.cache(self._site)
        self.evaluations = functools.cache(self._evaluations)
        self.image = functools.cache(self._image)

    def _site(self, laterality: Laterality | None) -> sr.FindingSite:
        side = self.concept(codes.LATERALITY[laterality]) if laterality is not None else None
        return sr.FindingSite(anatomic_location=self.concept(codes.LUNG), laterality=side)

    def _evaluations(self, attenuation: Attenuation) -> list[sr.QualitativeEvaluation]:
        evaluations = [sr.QualitativeEvaluation(name=codes.TEXTURE, value=codes.TEXTURE_OF[attenuation])]
        if attenuation is Attenuation.CALCIFIED:
            evaluations.append(sr.QualitativeEvaluation(name=codes.CALCIFICATION, value=codes.PRESENT))
        return evaluations

    def _image(self, slice_k: int) -> sr.SourceImageForRegion:
        reference = slice_reference(self._request, slice_k)
        frames = [reference.frame_number] if reference.frame_number is not None else None
        return sr.SourceImageForRegion(reference.sop_class_uid, reference.sop_instance_uid, frames)


def _volumetric_group(
    request: ReportRequest, finding: Finding, tracking: sr.TrackingIdentifier, parts: _Parts
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Group A: the segment, its volume, attenuation and probability (PS3.16 TID 1411)."""
    first, *others = _sources(request, finding)
    group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        referenced_segment=_referenced_segment(request, finding, first),
        finding_type=parts.concept(codes.NODULE),
        finding_category=parts.concept(codes.MORPHOLOGICALLY_ABNORMAL),
        finding_sites=[parts.site(finding.laterality)],
        algorithm_id=parts.algorithm,
        measurements=_scalar_measurements(finding, parts),
        qualitative_evaluations=parts.evaluations(finding.attenuation),
    )
    _add_sources(group[0].ContentSequence, others)
    return group


def _linear_group(
    finding: Finding, tracking: sr.TrackingIdentifier, parts: _Parts
) -> sr.MeasurementsAndQualitativeEvaluations:
    """Group B: long and short axis with their end points on the slice (PS3.16 TID 1501)."""
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        finding_type=parts.concept(codes.NODULE),
        finding_category=parts.concept(codes.MORPHOLOGICALLY_ABNORMAL),
        finding_sites=[parts.site(finding.laterality)],
        measurements=[
            _axis(codes.LONG_AXIS, finding.long_axis, parts),
            _axis(codes.SHORT_AXIS, finding.short_axis, parts),
        ],
    )


def _tracking(request: ReportRequest, finding: Finding) -> sr.TrackingIdentifier:
    return sr.TrackingIdentifier(uid=tracking_uid(request, finding), identifier=tracking_identifier(request, finding))


def _sources(request: ReportRequest, finding: Finding) -> tuple[_Source, ...]:
    start_k, occupied = finding.mask.start_kji[0], np.flatnonzero(finding.mask.voxels.any(axis=(1, 2)))
    return slices_of([slice_reference(request, start_k + int(k)) for k in occupied])


def _referenced_segment(request: ReportRequest, finding: Finding, source: _Source) -> sr.ReferencedSegment:
    sop_class_uid, instance_uid, frames = source
    return sr.ReferencedSegment(
        sop_class_uid=SegmentationStorage,
        sop_instance_uid=uid(request.identity, DocumentRole.SEG),
        segment_number=finding.number,
        source_images=[sr.SourceImageForSegmentation(sop_class_uid, instance_uid, list(frames) or None)],
    )


def _add_sources(content: sr.ContentSequence, sources: Sequence[_Source]) -> None:
    """Put the other sources after the first one; highdicom would take longer over them than over all the rest."""
    place, first = next((n, item) for n, item in enumerate(content) if isinstance(item, sr.SourceImageForSegmentation))
    alike = [first[keyword] for keyword in ("RelationshipType", "ValueType", "ConceptNameCodeSequence")]
    for offset, (sop_class_uid, instance_uid, frames) in enumerate(sources, start=1):
        reference, item = Dataset(), Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class_uid, instance_uid
        if frames:
            reference.ReferencedFrameNumber = list(frames)
        for element in alike:
            item.add(element)
        item.ReferencedSOPSequence = [reference]
        PlainSequence.insert(content, place + offset, item)


def _scalar_measurements(finding: Finding, parts: _Parts) -> list[sr.Measurement]:
    """What matters most comes first: OHIF writes only five of them beside the axes."""
    values = [
        (codes.VOLUME, finding.volume_mm3, codes.CUBIC_MILLIMETRE),
        (codes.DIAMETER, finding.equivalent_diameter_mm, codes.MILLIMETRE),
        (codes.CERTAINTY, 100.0 * finding.score, codes.PERCENT),
    ]
    if finding.malignancy is not None:
        values.append((codes.PROBABILITY_OF_CANCER, 100.0 * finding.malignancy, codes.PERCENT))
    values.append((codes.MEAN_ATTENUATION, finding.mean_hu, codes.HOUNSFIELD_UNIT))
    values.append((codes.SD_ATTENUATION, finding.sd_hu, codes.HOUNSFIELD_UNIT))
    return [_measurement(name, value, unit, parts) for name, value, unit in values]


def _measurement(
    name: Code, value: float, unit: Code, parts: _Parts, line: sr.CoordinatesForMeasurement | None = None
) -> sr.Measurement:
    """A number without modifiers: OHIF drops numbers that have a derivation or method below them."""
    return sr.Measurement(
        name=parts.concept(name),
        value=round(float(value), 1),
        unit=parts.concept(unit),
        referenced_coordinates=None if line is None else [line],
    )


def _axis(name: Code, axis: Axis, parts: _Parts) -> sr.Measurement:
    line = sr.CoordinatesForMeasurement(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=_column_row(axis),
        source_image=parts.image(axis.slice_k),
    )
    return _measurement(name, axis.length_mm, codes.MILLIMETRE, parts, line)


def _column_row(axis: Axis) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Ends as (column, row), the centre of the first pixel being (0.5, 0.5) (PS3.3 C.10.5.1.2)."""
    return np.array([(column + 0.5, row + 0.5) for row, column in axis.ends_ji])
