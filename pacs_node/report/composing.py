"""From a request to the documents that answer it. Called from `pacs_node.steps.compose` and the command line."""

from __future__ import annotations

from pydicom.dataset import Dataset

from pacs_node.report.request import Document, DocumentRole, ReportRequest
from pacs_node.report.segmentation import lung_segmentation, nodule_segmentation
from pacs_node.report.structured import structured_report


def compose(request: ReportRequest) -> tuple[Document, ...]:
    """Put a result into DICOM.

    Returns
    -------
    the nodule SEG if there are findings, the lung SEG if asked for, and always the report; the same request gives the
    same bytes
    """
    result = request.result
    documents = []
    if result is not None and result.findings:
        documents.append(_document(DocumentRole.SEG, nodule_segmentation(request, result)))
    if result is not None and request.options.lungs and result.lungs.any():
        documents.append(_document(DocumentRole.LUNGS, lung_segmentation(request, result)))
    nodules = [document.dataset for document in documents if document.role is DocumentRole.SEG]
    report = structured_report(request, nodules)
    return (*documents, _document(DocumentRole.SR, report))


def _document(role: DocumentRole, dataset: Dataset) -> Document:
    return Document(
        role=role,
        dataset=dataset,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
    )
