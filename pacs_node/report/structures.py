"""RT Structure Set: every nodule as closed contours, slice by slice, for viewers and planning systems without SEG.

The contours run along the edges of the voxels, so that they hold exactly what the mask holds. No role in a treatment
is said of a nodule: the type of the regions stays empty, their code says what they are. Called from `composing`.

References
----------
PS3.3 A.19 (RT Structure Set IOD), C.8.8.5 (Structure Set), C.8.8.6 (ROI Contour), C.8.8.8 (RT ROI Observations).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.sr.coding import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import RTStructureSetStorage

from inference.findings import Finding, Result
from pacs_node.domain.document import DocumentRole
from pacs_node.report import codes
from pacs_node.report.colour import finding_rgb
from pacs_node.report.contours import contours
from pacs_node.report.measurements import tracking_identifier, tracking_uid
from pacs_node.report.request import ReportRequest
from pacs_node.report.source import SliceReference, frame_of_reference_uid, slice_reference, slice_stand_in, slices_of
from pacs_node.report.stamp import MANUFACTURER, MODEL_NAME, RESEARCH_USE, ascii_text, blank, stamp, versions

_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, retired: what readers of RT Structure Sets expect a study to be called."""


def structure_set(request: ReportRequest, result: Result) -> Dataset:
    """One region of interest per finding, numbered like the findings; there must be at least one."""
    document = blank(request, DocumentRole.STRUCTURES, modality="RTSTRUCT", series=(961, "lung nodules"))
    document.OperatorsName = ""
    document.FrameOfReferenceUID = frame_of_reference_uid(request)
    document.PositionReferenceIndicator = request.source[0].get("PositionReferenceIndicator", "")
    document.ApprovalStatus = "UNAPPROVED"
    _describe(document, request, result)
    document.StructureSetROISequence = [_region(request, finding) for finding in result.findings]
    document.ROIContourSequence = [_outlined(request, finding) for finding in result.findings]
    document.RTROIObservationsSequence = [_observed(finding) for finding in result.findings]
    stamp(document, request)
    document.StructureSetDate, document.StructureSetTime = document.ContentDate, document.ContentTime
    del document.ContentDate, document.ContentTime  # not part of this IOD
    return document


def _describe(document: Dataset, request: ReportRequest, result: Result) -> None:
    """Name the structure set, the images that it was made from, and the one that it takes the place of."""
    document.StructureSetLabel = "LUNG_NODULES"
    document.StructureSetName = "PulmoNode lung nodules"
    document.StructureSetDescription = RESEARCH_USE
    references = [slice_reference(request, k) for k in range(result.grid.shape_kji[0])]
    images = [_item(kind, instance) for kind, instance, _ in slices_of(references)]
    document.ReferencedFrameOfReferenceSequence = [_frame_of_reference(request, images)]
    before = [item for item in request.predecessor if item.get("SOPClassUID") == RTStructureSetStorage]
    if before:
        document.PredecessorStructureSetSequence = [_item(before[0].SOPClassUID, before[0].SOPInstanceUID)]


def _frame_of_reference(request: ReportRequest, images: list[Dataset]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = request.source[0].SeriesInstanceUID
    series.ContourImageSequence = images
    study = _item(_STUDY_CLASS, request.source[0].StudyInstanceUID)
    study.RTReferencedSeriesSequence = [series]
    item = Dataset()
    item.FrameOfReferenceUID = frame_of_reference_uid(request)
    item.RTReferencedStudySequence = [study]
    return item


def _region(request: ReportRequest, finding: Finding) -> Dataset:
    """Name of the finding and how it was found; the Tracking UID, which has no place of its own, as a description."""
    models = request.result.models if request.result is not None else ()
    item = Dataset()
    item.ROINumber = finding.number
    item.ReferencedFrameOfReferenceUID = frame_of_reference_uid(request)
    item.ROIName = tracking_identifier(request, finding)[:64]
    item.ROIDescription = f"Tracking UID {tracking_uid(request, finding)}"
    item.ROIVolume = f"{finding.volume_mm3 / 1000.0:.6f}"  # cm3
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = ascii_text(f"Outlined by {finding.outlined_by}")[:64]
    item.ROIDerivationAlgorithmIdentificationSequence = AlgorithmIdentificationSequence(
        name=ascii_text(f"{MODEL_NAME} {request.identity.pipeline}")[:64],
        family=codes.ARTIFICIAL_INTELLIGENCE,
        version=versions(use for use in models if use.role != "malignancy")[:64],
        source=MANUFACTURER,
    )
    return item


def _outlined(request: ReportRequest, finding: Finding) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber = finding.number
    item.ROIDisplayColor = list(finding_rgb(finding.number))
    item.ContourSequence = list(_contours(request, finding))
    for number, contour in enumerate(item.ContourSequence, start=1):
        contour.ContourNumber = number
    return item


def _contours(request: ReportRequest, finding: Finding) -> Iterator[Dataset]:
    start_k, start_j, start_i = finding.mask.start_kji
    for offset in np.flatnonzero(finding.mask.voxels.any(axis=(1, 2))).tolist():
        reference = slice_reference(request, start_k + offset)
        header = slice_stand_in(request, start_k + offset)
        for corners in contours(finding.mask.voxels[offset]):
            item = Dataset()
            item.ContourImageSequence = [_image(reference)]
            item.ContourGeometricType = "CLOSED_PLANAR"
            item.NumberOfContourPoints = len(corners)
            points_lps = _lps(header, corners + (start_j - 0.5, start_i - 0.5))
            item.ContourData = [f"{value:.4f}" for value in points_lps.ravel()]
            yield item


def _lps(header: Dataset, places_ji: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Patient coordinates in mm of fractional (row, column) indices of an image (PS3.3 C.7.6.2.1.1)."""
    directions = np.array(header.ImageOrientationPatient, float).reshape(2, 3)  # along a row, along a column
    row_mm, column_mm = (float(step) for step in header.PixelSpacing)
    steps = np.stack([directions[1] * row_mm, directions[0] * column_mm])
    return np.asarray(np.array(header.ImagePositionPatient, float) + places_ji @ steps)


def _observed(finding: Finding) -> Dataset:
    item = Dataset()
    item.ObservationNumber = finding.number
    item.ReferencedROINumber = finding.number
    item.RTROIIdentificationCodeSequence = [_coded(codes.NODULE)]
    item.SegmentedPropertyCategoryCodeSequence = [_coded(codes.MORPHOLOGICALLY_ABNORMAL)]
    item.AnatomicRegionSequence = [_site(finding)]
    item.RTROIInterpretedType = ""
    item.ROIInterpreter = ""
    return item


def _site(finding: Finding) -> Dataset:
    site = _coded(codes.LUNG)
    if finding.laterality is not None:
        site.AnatomicRegionModifierSequence = [_coded(codes.LATERALITY[finding.laterality])]
    return site


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.update(CodedConcept.from_code(code))
    return item


def _image(reference: SliceReference) -> Dataset:
    item = _item(reference.sop_class_uid, reference.sop_instance_uid)
    if reference.frame_number is not None:
        item.ReferencedFrameNumber = reference.frame_number
    return item


def _item(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item
