"""Whether a Chest CAD SR is one, and says of every nodule what the report says. Called from `check`.

References
----------
PS3.16 TID 4100, 4101, 4104, 4107.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from pydicom.dataset import Dataset

from pacs_node.report.check.document import code_of_template, groups_of, listed_evidence, tracking_of
from pacs_node.report.check.examined import Examined, Segment
from pacs_node.report.check.polygons import enclosed
from pacs_node.report.check.problem import Problem
from pacs_node.report.check.tree import Node, code_of, read_tree

Values = Mapping[str, tuple[float, str]]
"""Number and unit by concept."""

_SUMMARY = "111017"
_ALLOWED = {True: {"111242", "111244"}, False: {"111241", "111243", "111245"}}
"""CID 6047: what may be said with findings, and without, each of all algorithms first."""
_NEEDED = ("121049", _SUMMARY)


def cad_problems(document: Dataset, examined: Examined) -> Iterator[Problem]:
    """Problems of header, evidence, summary, and of every finding."""
    root = read_tree(document)
    if root.name != ("112000", "DCM") or code_of_template(document) != "4100":
        yield _problem("The root is not a Chest CAD Report of TID 4100.")
    if (document.CompletionFlag, document.VerificationFlag) != ("COMPLETE", "UNVERIFIED"):
        yield _problem("A report that no person verified must be COMPLETE and UNVERIFIED.")
    for concept in _NEEDED:
        if len(root.named(concept)) != 1:
            yield _problem(f"The report does not have one {concept} (language, summary).")
    yield from _evidence(document, root, examined)
    findings = {tracking_of(node): node for node in root.walk() if node.named("112040")}
    yield from _summary(root, bool(findings))
    segments = {(segment.tracking_uid, segment.tracking_id): segment for segment in examined.segments or ()}
    if examined.segments is not None and set(findings) != set(segments):
        yield _problem("Its findings are not those of the SEG, each with its tracking.")
    for tracking in sorted(set(findings) & set(segments)):
        for text in _finding(findings[tracking], segments[tracking], examined):
            yield _problem(f"Nodule {segments[tracking].number}: {text}")


def _evidence(document: Dataset, root: Node, examined: Examined) -> Iterator[Problem]:
    known = {(str(item.SOPInstanceUID), str(item.SOPClassUID)) for item in (*examined.headers, *examined.documents)}
    listed = set(listed_evidence(document))
    used = {
        (str(item.ReferencedSOPInstanceUID), str(item.ReferencedSOPClassUID))
        for node in root.walk()
        if node.value_type in ("IMAGE", "COMPOSITE")
        for item in node.item.ReferencedSOPSequence
    }
    if not used <= listed or not listed <= known:
        yield _problem("The evidence is not what the tree refers to, or not of the source and the result.")


def _summary(root: Node, has_findings: bool) -> Iterator[Problem]:
    value = code_of(root.named(_SUMMARY)[0].item, "ConceptCodeSequence")[0] if root.named(_SUMMARY) else ""
    if value not in _ALLOWED[has_findings]:
        yield _problem("The summary does not say what the findings say.")


def _finding(finding: Node, segment: Segment, examined: Examined) -> Iterator[str]:
    said = _values(finding)
    reported = _reported(examined.report, segment.tracking_uid) if examined.report is not None else {}
    for concept, value in said.items():
        if concept in reported and reported[concept] != value:
            yield f"{concept} is not that of the report"
    if not said:
        yield "it has no value"
    yield from _places(finding, segment, examined)


def _reported(report: Node, tracking_uid: str) -> Values:
    groups = [group for group in groups_of(report) if tracking_of(group)[0] == tracking_uid]
    return {concept: value for group in groups for concept, value in _values(group).items()}


def _values(node: Node) -> Values:
    measured = [
        (child.name[0], child.item.MeasuredValueSequence[0]) for child in node.children if child.value_type == "NUM"
    ]
    units = "MeasurementUnitsCodeSequence"
    return {concept: (float(item.NumericValue), code_of(item, units)[0]) for concept, item in measured}


def _places(finding: Node, segment: Segment, examined: Examined) -> Iterator[str]:
    """Points lie on the segment, closed lines around it, on the slices that they name; lines of two points are axes."""
    for node in (node for node in finding.walk() if node.value_type == "SCOORD"):
        images = [child.item.ReferencedSOPSequence[0] for child in node.children if child.value_type == "IMAGE"]
        slices = [k for image in images for k in examined.slice_of(image)]
        points = np.asarray(node.item.GraphicData, float).reshape(-1, 2)[:, ::-1] - 0.5
        pixels = segment.pixels.get(slices[0], set()) if len(slices) == 1 else set()
        inside = np.asarray(sorted(pixels), float).reshape(-1, 2)
        if not pixels:
            yield "a coordinate lies on a slice without the segment"
        elif len(points) > 2:
            if enclosed([points]) != pixels:
                yield "the outline does not enclose the pixels of the segment"
        elif any(not (inside.min(axis=0) - 1.0 <= point).all() for point in points) or any(
            not (point <= inside.max(axis=0) + 1.0).all() for point in points
        ):
            yield "a point does not lie on the segment"


def _problem(text: str) -> Problem:
    return Problem(code="cad", text=text)
