"""Whether the documents of a result are distinct, each kind in a series of its own. Called from `check`.

Viewers take one instance of a series of SEG or SR, the newest; so these have one. Of others there may be several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydicom.dataset import Dataset

from pacs_node.report.check.kinds import Kind
from pacs_node.report.check.problem import Problem

_SEVERAL = (Kind.CAPTURE, Kind.PRESENTATION)


def series_problems(by_kind: Mapping[Kind, Sequence[Dataset]], *, needs_report: bool) -> Iterator[Problem]:
    """Problems of number, kinds, series and numbers of documents."""
    reports = len(by_kind[Kind.REPORT])
    if reports > 1 or (needs_report and reports == 0):
        yield Problem(code="sr.document", text="A result has exactly one report.")
    if by_kind[Kind.OTHER]:
        yield _problem("There is a document of a kind that results do not have.")
    for kind, documents in by_kind.items():
        if len(documents) > 1 and kind not in (*_SEVERAL, Kind.REPORT, Kind.OTHER):
            yield _problem(f"There is more than one {kind.value}.")
    yield from _distinct(by_kind)
    for kind in _SEVERAL:
        yield from _one_series(kind, by_kind[kind])


def _distinct(by_kind: Mapping[Kind, Sequence[Dataset]]) -> Iterator[Problem]:
    documents = [document for group in by_kind.values() for document in group]
    if len({str(document.get("SOPInstanceUID")) for document in documents}) < len(documents):
        yield _problem("Two documents of the result have the same SOPInstanceUID.")
    one_each = [item for kind, group in by_kind.items() for item in (group[:1] if kind in _SEVERAL else group)]
    for keyword in ("SeriesInstanceUID", "SeriesNumber"):
        if len({str(document.get(keyword)) for document in one_each}) < len(one_each):
            yield _problem(f"Two kinds of documents of the result have the same {keyword}.")


def _one_series(kind: Kind, documents: Sequence[Dataset]) -> Iterator[Problem]:
    if len({(str(item.get("SeriesInstanceUID")), str(item.get("SeriesNumber"))) for item in documents}) > 1:
        yield _problem(f"There is more than one series of the kind {kind.value}.")
    if len({str(item.get("InstanceNumber")) for item in documents}) < len(documents):
        yield _problem(f"Two documents of the kind {kind.value} have the same number.")


def _problem(text: str) -> Problem:
    return Problem(code="set.series", text=text)
