"""From a request to the documents that answer it. Called from `pacs_node.steps.compose` and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pydicom.dataset import Dataset

from pacs_node.domain.document import DocumentRole
from pacs_node.report.cad import chest_cad_report
from pacs_node.report.captures import captures
from pacs_node.report.encoding import file_bytes
from pacs_node.report.presentation import presentation_states
from pacs_node.report.printed import printed_report
from pacs_node.report.rejection import rejection_note
from pacs_node.report.request import Document, ReportRequest
from pacs_node.report.segmentation import lung_segmentation, nodule_segmentation
from pacs_node.report.soft import soft_findings, soft_segmentation
from pacs_node.report.structured import structured_report
from pacs_node.report.structures import structure_set


def compose(request: ReportRequest) -> tuple[Document, ...]:
    """Put a result into DICOM.

    Returns
    -------
    what the options ask for and the result has something to say in, nodule SEG and report always; the same request
    gives the same bytes
    """
    documents: list[Document] = []
    for role, build in _BUILDERS.items():
        if role in request.options.objects or role in _ALWAYS:
            datasets = build(request, [document.dataset for document in documents])
            documents += [_document(role, dataset, number) for number, dataset in enumerate(datasets, start=1)]
    return tuple(documents)


def _seg(request: ReportRequest, made: Sequence[Dataset]) -> Iterator[Dataset]:
    if request.result is not None and request.findings:
        yield nodule_segmentation(request, request.result)


def _lungs(request: ReportRequest, made: Sequence[Dataset]) -> Iterator[Dataset]:
    if request.result is not None and request.result.lungs.any():
        yield lung_segmentation(request, request.result)


def _soft(request: ReportRequest, made: Sequence[Dataset]) -> Iterator[Dataset]:
    if request.result is not None and soft_findings(request.result):
        yield soft_segmentation(request, request.result)


def _report(request: ReportRequest, made: Sequence[Dataset]) -> Iterator[Dataset]:
    yield structured_report(request, [document for document in made if document.get("ContentLabel") == "LUNG_NODULES"])


def _captures(request: ReportRequest, made: Sequence[Dataset]) -> Iterator[Dataset]:
    yield from captures(request)


def _presentation(request: ReportRequest, made: Sequence[Dataset]) -> Iterator[Dataset]:
    if request.result is not None and request.findings:
        yield from presentation_states(request, request.result)


def _cad(request: ReportRequest, made: Sequence[Dataset]) -> Iterator[Dataset]:
    yield chest_cad_report(request)


def _pdf(request: ReportRequest, made: Sequence[Dataset]) -> Iterator[Dataset]:
    yield printed_report(request)


def _structures(request: ReportRequest, made: Sequence[Dataset]) -> Iterator[Dataset]:
    if request.result is not None and request.findings:
        yield structure_set(request, request.result)


def _rejection(request: ReportRequest, made: Sequence[Dataset]) -> Iterator[Dataset]:
    if request.predecessor:
        yield rejection_note(request)


_ALWAYS = (DocumentRole.SEG, DocumentRole.SR)
"""The record of a result: the report, and the segments that it speaks of."""

_BUILDERS: dict[DocumentRole, Callable[[ReportRequest, Sequence[Dataset]], Iterator[Dataset]]] = {
    DocumentRole.SEG: _seg,
    DocumentRole.LUNGS: _lungs,
    DocumentRole.SOFT: _soft,
    DocumentRole.SR: _report,
    DocumentRole.CAD: _cad,
    DocumentRole.CAPTURES: _captures,
    DocumentRole.PRESENTATION: _presentation,
    DocumentRole.PDF: _pdf,
    DocumentRole.STRUCTURES: _structures,
    DocumentRole.REJECTION: _rejection,
}
"""In the order in which they are written: each is given the request and what was written before it."""


def _document(role: DocumentRole, dataset: Dataset, number: int) -> Document:
    return Document(
        role=role,
        dataset=dataset,
        content=file_bytes(dataset),
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        number=number,
    )
