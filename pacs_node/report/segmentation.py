"""SEG documents: the nodules, one segment each, and in a series of its own the lungs.

BINARY, on the grid of the CT, empty frames left out, every frame derived from the very slice it lies on.
Called from `composing`, and from `soft`, which writes shares into the frames.

References
----------
PS3.3 A.51 and C.8.20.2; viewers' needs as far as observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from highdicom.seg import Segmentation as SegmentationDocument
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from inference.findings import Finding, Result
from pacs_node.domain.document import DocumentRole
from pacs_node.report import codes
from pacs_node.report.colour import finding_lab
from pacs_node.report.frames import Labels, write_frames
from pacs_node.report.identity import VERSION, uid
from pacs_node.report.measurements import tracking_identifier, tracking_uid
from pacs_node.report.request import ReportRequest
from pacs_node.report.source import request_spacing_mm, slice_stand_in
from pacs_node.report.stamp import MANUFACTURER, MODEL_NAME, RESEARCH_USE, ascii_text, stamp, versions

_SERIES_NUMBER = {DocumentRole.SEG: 901, DocumentRole.LUNGS: 902, DocumentRole.SOFT: 903}
_LABEL = {DocumentRole.SEG: "LUNG_NODULES", DocumentRole.LUNGS: "LUNGS", DocumentRole.SOFT: "SOFT_NODULES"}
_DESCRIPTION = {
    DocumentRole.SEG: "PulmoNode lung nodules",
    DocumentRole.LUNGS: "PulmoNode lungs",
    DocumentRole.SOFT: "PulmoNode soft nodules",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The slices that hold anything, and for each of their pixels the number of its segment (0 = none)."""

    slices_k: tuple[int, ...]
    labels: Labels


def nodule_segmentation(request: ReportRequest, result: Result) -> Dataset:
    """One segment per finding, numbered like the findings; there must be at least one."""
    segments = [nodule_segment(request, finding, finding.number) for finding in result.findings]
    return segmentation(request, DocumentRole.SEG, _labelled_findings(result), segments)


def lung_segmentation(request: ReportRequest, result: Result) -> Dataset:
    """Both lungs as one segment; at least one voxel must be set."""
    slices_k = np.flatnonzero(result.lungs.any(axis=(1, 2)))
    labelled = Labelled(slices_k=tuple(int(k) for k in slices_k), labels=result.lungs[slices_k].astype(np.uint8))
    return segmentation(request, DocumentRole.LUNGS, labelled, [_lung_segment(request)])


def segmentation(
    request: ReportRequest, role: DocumentRole, labelled: Labelled, segments: Sequence[SegmentDescription]
) -> Dataset:
    """A document of these segments, with a frame for every slice that each of them has voxels in.

    highdicom gets one slice only, and the frames are written after.
    """
    document = SegmentationDocument(
        source_images=[slice_stand_in(request, labelled.slices_k[0])],
        pixel_array=labelled.labels[:1],
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=uid(request.identity, f"{role}-series"),
        series_number=_SERIES_NUMBER[role],
        sop_instance_uid=uid(request.identity, role),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=VERSION,
        device_serial_number=ascii_text(request.options.station)[:64],
        content_label=_LABEL[role],
        content_description=f"{_DESCRIPTION[role]}. {RESEARCH_USE}"[:64],
        series_description=f"{_DESCRIPTION[role]} (research use)",
    )
    document.ContentCreatorName = None  # type 2 (PS3.3 table 10-12), which highdicom leaves out
    _set_spacing(document, request)
    _set_dimension_organization(document, uid(request.identity, f"{role}-dimensions"))
    write_frames(document, request, labelled.slices_k, labelled.labels)
    stamp(document, request)
    return document


def _labelled_findings(result: Result) -> Labelled:
    slices_k = sorted({k for finding in result.findings for k in _occupied_slices(finding)})
    row_of = {k: row for row, k in enumerate(slices_k)}
    number_type = np.min_scalar_type(len(result.findings))
    labels: Labels = np.zeros((len(slices_k), *result.grid.shape_kji[1:]), number_type)
    for finding in result.findings:
        (start_k, start_j, start_i), (_, rows, columns) = finding.mask.start_kji, finding.mask.voxels.shape
        for k in _occupied_slices(finding):
            window = labels[row_of[k], start_j : start_j + rows, start_i : start_i + columns]
            window[finding.mask.voxels[k - start_k]] = finding.number
    return Labelled(slices_k=tuple(slices_k), labels=labels)


def _occupied_slices(finding: Finding) -> list[int]:
    return [finding.mask.start_kji[0] + int(k) for k in np.flatnonzero(finding.mask.voxels.any(axis=(1, 2)))]


def nodule_segment(request: ReportRequest, finding: Finding, number: int) -> SegmentDescription:
    """The segment of a finding, with its name, colour and tracking.

    Parameters
    ----------
    number : of the segment; that of the finding as long as all findings are there
    """
    segment = _segment(request, number, f"Nodule {finding.number}", codes.NODULE)
    segment.RecommendedDisplayCIELabValue = list(CIELabColor(*finding_lab(finding.number)).value)
    segment.TrackingID = tracking_identifier(request, finding)
    segment.TrackingUID = tracking_uid(request, finding)
    return segment


def _lung_segment(request: ReportRequest) -> SegmentDescription:
    return _segment(request, 1, "Lungs", codes.LUNG)


def _segment(request: ReportRequest, number: int, label: str, kind: Code) -> SegmentDescription:
    is_nodule = kind is codes.NODULE
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.MORPHOLOGICALLY_ABNORMAL if is_nodule else codes.ANATOMICAL_STRUCTURE,
        segmented_property_type=kind,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=_algorithm(request, is_nodule=is_nodule),
        anatomic_regions=[codes.LUNG] if is_nodule else None,
        display_color=CIELabColor(*finding_lab(number)) if is_nodule else CIELabColor(70.0, -10.0, -25.0),
    )


def _algorithm(request: ReportRequest, *, is_nodule: bool) -> AlgorithmIdentificationSequence:
    uses = request.result.models if request.result is not None and is_nodule else ()
    models = [use for use in uses if use.role != "malignancy"]  # which has no part in the segment
    return AlgorithmIdentificationSequence(
        name=ascii_text(f"{MODEL_NAME} {request.identity.pipeline if is_nodule else 'lungs'}")[:64],
        family=codes.ARTIFICIAL_INTELLIGENCE,
        version=versions(models)[:64],
        source=MANUFACTURER,
        parameters={ascii_text(f"{use.name} sha256"): use.sha256 for use in models} or None,
    )


def _set_spacing(document: Dataset, request: ReportRequest) -> None:
    """The distance of slices as measured on the CT; highdicom could only guess it from the slices that hold frames."""
    measures = document.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = round(request_spacing_mm(request), 6)


def _set_dimension_organization(document: Dataset, organization_uid: str) -> None:
    for item in (*document.DimensionIndexSequence, *document.DimensionOrganizationSequence):
        item.DimensionOrganizationUID = organization_uid
