"""Whether everything that a document refers to exists: instances of the source, their frames, other documents.

For the kinds of documents without rules of their own for this (SEG: `geometry`, report: `document`). Called from
`check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from pacs_node.report.check.problem import Problem

_ELSEWHERE = frozenset(
    {
        "PredecessorDocumentsSequence",
        "PredecessorStructureSetSequence",
        "ReferencedStudySequence",
        "ReferencedPatientSequence",
        "ReferencedPerformedProcedureStepSequence",
    }
)
"""Sequences that refer to what is neither of the source nor of the result."""
_STUDIES = "RTReferencedStudySequence"
"""Its items name a study where others name an instance."""


def existing_reference_problems(document: Dataset, instances: Sequence[Dataset]) -> Iterator[Problem]:
    """References to instances, classes, series or frames that are not among these.

    Parameters
    ----------
    instances : the source and the documents of the result
    """
    known = {str(instance.SOPInstanceUID): instance for instance in instances}
    found = list(_references(document, "", ""))
    for text in dict.fromkeys(_wrong(reference, series, known) for reference, series in found):
        if text:
            yield Problem(code="references", text=text)


def referenced(document: Dataset) -> set[str]:
    """UIDs of all instances that a document refers to, the earlier versions of itself apart."""
    return {str(reference.ReferencedSOPInstanceUID) for reference, _ in _references(document, "", "")}


def _references(item: Dataset, keyword: str, series: str) -> Iterator[tuple[Dataset, str]]:
    """Items that name an instance, each with the series that the items around it name (empty: none)."""
    inner = str(item.get("SeriesInstanceUID") or series) if keyword else ""
    if keyword and keyword != _STUDIES and "ReferencedSOPInstanceUID" in item:
        yield item, inner
    for element in item:
        if element.VR == "SQ" and element.keyword not in _ELSEWHERE:
            for child in element.value or ():
                yield from _references(child, element.keyword, inner)


def _wrong(reference: Dataset, series: str, known: Mapping[str, Dataset]) -> str:
    instance = known.get(str(reference.ReferencedSOPInstanceUID))
    if instance is None:
        return "It refers to an instance that is neither of the source nor of the result."
    if str(reference.get("ReferencedSOPClassUID")) != str(instance.SOPClassUID):
        return "It names a wrong SOP class for an instance."
    if series and series != str(instance.SeriesInstanceUID):
        return "It looks for an instance in a wrong series."
    number = reference.get("ReferencedFrameNumber")
    numbers = [int(n) for n in number] if isinstance(number, MultiValue) else [int(number)] if number else []
    if any(not 1 <= n <= int(instance.get("NumberOfFrames") or 1) for n in numbers):
        return "It refers to a frame that its instance does not have."
    return ""
