"""The report for people: an Encapsulated PDF, for archives and viewers that show documents.

Its pages name nobody (`pages`), therefore BurnedInAnnotation is NO. Called from `composing`.

References
----------
PS3.3 A.45.1 (Encapsulated PDF IOD), C.24.1, C.24.2 (Encapsulated Document).
"""

from __future__ import annotations

from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from pacs_node.domain.document import DocumentRole
from pacs_node.report import codes
from pacs_node.report.pages import TITLE, pdf_pages
from pacs_node.report.request import ReportRequest
from pacs_node.report.stamp import MODEL_NAME, blank, stamp
from pacs_node.report.structured import evidence_of


def printed_report(request: ReportRequest) -> Dataset:
    """The pages of any result, findings or none, analysed or not."""
    document = blank(request, DocumentRole.PDF, modality="DOC", series=(951, "report for people"))
    document.ConversionType = "WSD"
    document.AcquisitionDateTime = ""
    document.BurnedInAnnotation = "NO"
    document.DocumentTitle = f"{MODEL_NAME}: {TITLE} (research use)"
    document.ConceptNameCodeSequence = [CodedConcept.from_code(codes.IMAGING_MEASUREMENT_REPORT)]
    document.VerificationFlag = "UNVERIFIED"
    _refer(document, request)
    _encapsulate(document, pdf_pages(request))
    stamp(document, request)
    return document


def _refer(document: Dataset, request: ReportRequest) -> None:
    """Name the instances that the pages were made from, and the document that they take the place of."""
    if request.result is not None:
        images = {str(header.SOPInstanceUID): header for header in request.source}
        document.SourceInstanceSequence = [_item(header) for header in images.values()]
    before = [item for item in request.predecessor if item.SOPClassUID == EncapsulatedPDFStorage]
    if before:
        document.PredecessorDocumentsSequence = [evidence_of(before)]


def _encapsulate(document: Dataset, content: bytes) -> None:
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocumentLength = len(content)
    document.EncapsulatedDocument = content  # pydicom pads it to an even length


def _item(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item
