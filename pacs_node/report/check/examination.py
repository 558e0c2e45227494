"""All checks of one result, in the order in which they make sense. Called as `pacs_node.report.check.check`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from pacs_node.report.check.anatomy import Hu, anatomy_problems
from pacs_node.report.check.attributes import attribute_problems
from pacs_node.report.check.cad import cad_problems
from pacs_node.report.check.captures import capture_problems, capture_set_problems
from pacs_node.report.check.codes import code_problems
from pacs_node.report.check.document import document_problems, evidence_problems, group_problems, groups_of
from pacs_node.report.check.encapsulated import pdf_problems
from pacs_node.report.check.examined import Examined, Segment, read_segments
from pacs_node.report.check.frames import Frame, Source, read_frames, read_source
from pacs_node.report.check.geometry import geometry_problems, lossy_problems, reference_problems
from pacs_node.report.check.identity import charset_problems, identity_problems, name_problems, written_names
from pacs_node.report.check.kinds import Kind, kind_of
from pacs_node.report.check.presentation import drawing_problems, presentation_problems
from pacs_node.report.check.problem import UNREADABLE, Problem, guarded
from pacs_node.report.check.references import existing_reference_problems
from pacs_node.report.check.rejection import rejection_problems
from pacs_node.report.check.segments import segment_problems
from pacs_node.report.check.series import series_problems
from pacs_node.report.check.soft import soft_problems
from pacs_node.report.check.structures import structure_problems
from pacs_node.report.check.tree import Node, read_tree
from pacs_node.report.check.values import value_problems

_EXAMINE: dict[Kind, tuple[str, Callable[[Dataset, Examined], Iterable[Problem]]]] = {
    Kind.SOFT: ("soft", soft_problems),
    Kind.CAD: ("cad", cad_problems),
    Kind.CAPTURE: ("captures", capture_problems),
    Kind.PRESENTATION: ("presentation", presentation_problems),
    Kind.PDF: ("pdf", pdf_problems),
    Kind.STRUCTURES: ("structures", structure_problems),
    Kind.REJECTION: ("rejection", rejection_problems),
}
"""What is examined in documents beside SEGs and reports, and the code of what cannot even be read."""
_REFERRING = frozenset({Kind.CAD, Kind.CAPTURE, Kind.PRESENTATION, Kind.PDF, Kind.STRUCTURES})


def check(
    source: Sequence[Dataset],
    documents: Sequence[Dataset],
    volume_hu: Hu | None = None,
    frame_numbers: Sequence[int] = (),
    *,
    needs_report: bool = True,
) -> tuple[Problem, ...]:
    """Examine the documents of one result.

    Parameters
    ----------
    source : headers of the analysed series, or (not analysed) any instances of the study
    documents : of any kinds that a result may have, best as read back from their bytes
    volume_hu : shape (k, j, i), in the order of `source`; without it attenuation and anatomy are not examined
    frame_numbers : for Enhanced instances the frame (from 1) of every k
    needs_report : whether a result without a report is a problem, as it is but where a destination wants images only

    Returns
    -------
    problems; empty if the result may leave
    """
    by_kind: dict[Kind, list[Dataset]] = {kind: [] for kind in Kind}
    for document in documents:
        by_kind[kind_of(document)].append(document)
    geometry = _geometry(source, frame_numbers)
    segs = [_decoded(seg, geometry) for kind in (Kind.NODULES, Kind.LUNGS) for seg in by_kind[kind]]
    trees = [read_tree(report) for report in by_kind[Kind.REPORT]]
    examined = _examined(source, documents, trees, segs, geometry)
    problems = [*guarded("text.charset", _name_problems, documents, source[0])]
    problems += series_problems(by_kind, needs_report=needs_report)
    for document in documents:
        problems += _common_problems(document, source[0])
    for tree in trees:
        problems += _report_problems(tree, source, by_kind[Kind.NODULES])
    for seg in segs:
        problems += _seg_problems(seg, examined, trees, volume_hu)
    problems += _other_problems(by_kind, examined)
    return tuple(dict.fromkeys(problems))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Decoded:
    """A binary SEG and its frames; None if they cannot be read."""

    seg: Dataset
    frames: tuple[Frame, ...] | None

    @property
    def is_nodules(self) -> bool:
        """Whether it holds nodules, not the lungs."""
        return kind_of(self.seg) is Kind.NODULES


def _geometry(source: Sequence[Dataset], frame_numbers: Sequence[int]) -> Source | None:
    try:
        return read_source(source, frame_numbers)
    except UNREADABLE:
        return None


def _decoded(seg: Dataset, geometry: Source | None) -> _Decoded:
    try:
        return _Decoded(seg=seg, frames=None if geometry is None else tuple(read_frames(seg)))
    except UNREADABLE:
        return _Decoded(seg=seg, frames=None)


def _examined(
    source: Sequence[Dataset],
    documents: Sequence[Dataset],
    trees: Sequence[Node],
    segs: Sequence[_Decoded],
    geometry: Source | None,
) -> Examined:
    says_none = bool(trees) and not any(seg.is_nodules for seg in segs) and not groups_of(trees[0])
    segments: tuple[Segment, ...] | None = () if says_none else None
    for seg in segs:
        if seg.is_nodules and seg.frames is not None and geometry is not None:
            segments = read_segments(seg.seg, seg.frames, geometry)
    return Examined(
        headers=source,
        documents=documents,
        source=geometry,
        segments=segments,
        report=trees[0] if trees else None,
    )


def _name_problems(documents: Sequence[Dataset], header: Dataset) -> Iterator[Problem]:
    expected = written_names(header)
    for document in documents:
        yield from name_problems(written_names(document), expected)


def _common_problems(document: Dataset, header: Dataset) -> Iterator[Problem]:
    yield from guarded("attributes.required", attribute_problems, document)
    yield from guarded("id.patient_study", identity_problems, document, header)
    yield from guarded("text.charset", charset_problems, document, header)
    yield from guarded("codes.known", code_problems, document)


def _seg_problems(
    decoded: _Decoded, examined: Examined, trees: Sequence[Node], volume_hu: Hu | None
) -> Iterator[Problem]:
    seg, source, headers = decoded.seg, examined.source, examined.headers
    yield from guarded("image.lossy", lossy_problems, seg, headers)
    if decoded.frames is None or source is None:
        yield from _unreadable(decoded, trees)
        return
    yield from guarded("seg.geometry", geometry_problems, seg, source, headers)
    yield from guarded("seg.references", reference_problems, seg, source, headers)
    yield from guarded("seg.segments", segment_problems, seg, decoded.frames)
    if decoded.is_nodules:
        for tree in trees:
            yield from guarded("sr.values", value_problems, tree, seg, decoded.frames, source, volume_hu)
        if volume_hu is not None:
            yield from guarded("seg.on_anatomy", anatomy_problems, decoded.frames, source, volume_hu)


def _unreadable(decoded: _Decoded, trees: Sequence[Node]) -> Iterator[Problem]:
    """A SEG without readable frames, and reports whose values nobody can therefore measure again."""
    text = "The frames cannot be read, do not have the number stated, or the series has no geometry."
    yield Problem(code="seg.geometry", text=text)
    if decoded.is_nodules and any(groups_of(tree) for tree in trees):
        yield Problem(code="sr.values", text="The values cannot be compared with the segments.")


def _report_problems(root: Node, headers: Sequence[Dataset], nodules: Sequence[Dataset]) -> Iterator[Problem]:
    report = root.item
    segments = [segment for seg in nodules for segment in seg.get("SegmentSequence", ())]
    yield from guarded("sr.document", document_problems, report, root)
    yield from guarded("sr.evidence", evidence_problems, report, root, [*headers, *nodules])
    yield from guarded("sr.groups", group_problems, root, segments)


def _other_problems(by_kind: Mapping[Kind, Sequence[Dataset]], examined: Examined) -> Iterator[Problem]:
    instances = [*examined.headers, *examined.documents]
    for kind, (code, examine) in _EXAMINE.items():
        for document in by_kind[kind]:
            yield from guarded(code, examine, document, examined)
            if kind in _REFERRING:
                yield from guarded("references", existing_reference_problems, document, instances)
    if by_kind[Kind.CAPTURE]:
        yield from guarded("captures", capture_set_problems, by_kind[Kind.CAPTURE], examined)
    if by_kind[Kind.PRESENTATION]:
        yield from guarded("presentation", drawing_problems, by_kind[Kind.PRESENTATION], examined)
