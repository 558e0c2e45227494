"""All checks of one result, in the order in which they make sense. Called as `pacs_node.report.check.check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from pacs_node.report.check.anatomy import Hu, anatomy_problems
from pacs_node.report.check.attributes import attribute_problems
from pacs_node.report.check.codes import code_problems
from pacs_node.report.check.document import document_problems, evidence_problems, group_problems
from pacs_node.report.check.frames import Frame, Source, read_frames, read_source
from pacs_node.report.check.geometry import geometry_problems, lossy_problems, reference_problems
from pacs_node.report.check.identity import charset_problems, identity_problems
from pacs_node.report.check.problem import UNREADABLE, Problem, guarded
from pacs_node.report.check.segments import is_nodules, segment_problems
from pacs_node.report.check.tree import read_tree
from pacs_node.report.check.values import value_problems

SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"


def check(
    source: Sequence[Dataset],
    documents: Sequence[Dataset],
    volume_hu: Hu | None = None,
    frame_numbers: Sequence[int] = (),
) -> tuple[Problem, ...]:
    """Examine the documents of one result.

    Parameters
    ----------
    source : headers of the analysed series, or (not analysed) any instances of the study
    documents : the SEG and SR instances, best as read back from their bytes
    volume_hu : shape (k, j, i), in the order of `source`; without it attenuation and anatomy are not examined
    frame_numbers : for Enhanced instances the frame (from 1) of every k

    Returns
    -------
    problems; empty if the result may leave
    """
    segs = [document for document in documents if document.get("SOPClassUID") == SEG_CLASS]
    reports = [document for document in documents if document.get("SOPClassUID") != SEG_CLASS]
    nodules = [seg for seg in segs if is_nodules(seg)]
    problems = [*_set_problems(segs, reports)]
    for document in documents:
        problems += _common_problems(document, source[0])
    for report in reports:
        problems += _report_problems(report, source, nodules)
    for seg in segs:
        problems += guarded("image.lossy", lossy_problems, seg, source)
        decoded = _decoded(seg, source, frame_numbers)
        if decoded is None:
            text = "The frames cannot be read, or the series has no geometry."
            problems.append(Problem(code="seg.geometry", text=text))
        else:
            problems += _seg_problems(decoded, source)
            problems += _content_problems(decoded, reports, volume_hu) if any(seg is item for item in nodules) else ()
    return tuple(dict.fromkeys(problems))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Decoded:
    """A SEG, its frames, and the geometry of its source."""

    seg: Dataset
    frames: tuple[Frame, ...]
    source: Source


def _decoded(seg: Dataset, headers: Sequence[Dataset], frame_numbers: Sequence[int]) -> _Decoded | None:
    try:
        return _Decoded(seg=seg, frames=tuple(read_frames(seg)), source=read_source(headers, frame_numbers))
    except UNREADABLE:
        return None


def _set_problems(segs: Sequence[Dataset], reports: Sequence[Dataset]) -> Iterator[Problem]:
    """One report; every document in a series of its own; at most one SEG of nodules (viewers take one per report)."""
    if len(reports) != 1:
        yield Problem(code="sr.document", text="A result has exactly one report.")
    if sum(is_nodules(seg) for seg in segs) > 1:
        yield Problem(code="seg.segments", text="A result has at most one SEG of nodules.")
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber"):
        if len({str(document.get(keyword)) for document in (*segs, *reports)}) < len(segs) + len(reports):
            yield Problem(code="sr.document", text=f"Two documents of the result have the same {keyword}.")


def _common_problems(document: Dataset, header: Dataset) -> Iterator[Problem]:
    yield from guarded("attributes.required", attribute_problems, document)
    yield from guarded("id.patient_study", identity_problems, document, header)
    yield from guarded("text.charset", charset_problems, document, header)
    yield from guarded("codes.known", code_problems, document)


def _seg_problems(decoded: _Decoded, headers: Sequence[Dataset]) -> Iterator[Problem]:
    seg, source = decoded.seg, decoded.source
    yield from guarded("seg.geometry", geometry_problems, seg, source, headers)
    yield from guarded("seg.references", reference_problems, seg, source, headers)
    yield from guarded("seg.segments", segment_problems, seg, decoded.frames)


def _content_problems(decoded: _Decoded, reports: Sequence[Dataset], volume_hu: Hu | None) -> Iterator[Problem]:
    seg, frames, source = decoded.seg, decoded.frames, decoded.source
    for report in reports:
        yield from guarded("sr.values", value_problems, read_tree(report), seg, frames, source, volume_hu)
    if volume_hu is not None:
        yield from guarded("seg.on_anatomy", anatomy_problems, frames, source, volume_hu)


def _report_problems(report: Dataset, headers: Sequence[Dataset], nodules: Sequence[Dataset]) -> Iterator[Problem]:
    root = read_tree(report)
    segments = [segment for seg in nodules for segment in seg.get("SegmentSequence", ())]
    yield from guarded("sr.document", document_problems, report, root)
    yield from guarded("sr.evidence", evidence_problems, report, root, [*headers, *nodules])
    yield from guarded("sr.groups", group_problems, root, segments)
