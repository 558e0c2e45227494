"""Whether a report is a proper TID 1500 document that lists its evidence and speaks about every segment.

Called from `check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from pacs_node.report.check.problem import Problem
from pacs_node.report.check.tree import Node, code_of

SR_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.88.22": "Enhanced SR",
    "1.2.840.10008.5.1.4.1.1.88.33": "Comprehensive SR",
    "1.2.840.10008.5.1.4.1.1.88.34": "Comprehensive 3D SR",
}
_CONTEXT, _MODIFIER, _CONTAINS = "HAS OBS CONTEXT", "HAS CONCEPT MOD", "CONTAINS"
_RELATIONSHIPS = {
    "121049": _MODIFIER,
    "121005": _CONTEXT,
    "121012": _CONTEXT,
    "121013": _CONTEXT,
    "121014": _CONTEXT,
    "121015": _CONTEXT,
    "121016": _CONTEXT,
    "121058": _MODIFIER,
    "126010": _CONTAINS,
    "C0034375": _CONTAINS,
    "125007": _CONTAINS,
    "112039": _CONTEXT,
    "112040": _CONTEXT,
    "276214006": _CONTAINS,
    "121071": _CONTAINS,
    "363698007": _MODIFIER,
    "272741003": _MODIFIER,
    "121191": _CONTAINS,
    "121233": _CONTAINS,
}
"""Relationship of a concept to its parent (PS3.16 TID 1204, 1002, 1004, 1500, 1411, 1501, 4108)."""
_VALUE_OF_TYPE = {
    "CODE": "ConceptCodeSequence",
    "CONTAINER": "ContinuityOfContent",
    "IMAGE": "ReferencedSOPSequence",
    "NUM": "MeasuredValueSequence",
    "SCOORD": "GraphicData",
    "TEXT": "TextValue",
    "UIDREF": "UID",
}
"""Where content items of the types that our templates use keep their value (PS3.3 C.17.3.2)."""
_RELATIONSHIP_OF_TYPE = {"NUM": _CONTAINS, "SCOORD": "INFERRED FROM", "CONTAINER": _CONTAINS}
_ROOT_NEEDS = ("121049", "121005", "121012", "121058")
_PRESENT, _ABSENT, _UNDETERMINED = "52101004", "272519000", "373068000"


def document_problems(report: Dataset, root: Node) -> Iterator[Problem]:
    """Problems of the header, the root and the relationships of the tree."""
    if str(report.SOPClassUID) not in SR_CLASSES or report.Modality != "SR":
        yield _document("This is not a structured report of a class that viewers open.")
    if root.name != (_title(root), "DCM") or code_of_template(report) != "1500":
        yield _document("The root is not a report of TID 1500 under the title that viewers need.")
    if (report.CompletionFlag, report.VerificationFlag) != ("COMPLETE", "UNVERIFIED"):
        yield _document("A report that no person verified must be COMPLETE and UNVERIFIED.")
    for keyword in ("ReferencedPerformedProcedureStepSequence", "PerformedProcedureCodeSequence"):
        if keyword not in report:
            yield _document(f"{keyword} is missing; it may be empty.")
    for concept in _ROOT_NEEDS:
        if not root.named(concept):
            yield _document(f"The report has no {concept} (language, observer type, observer UID or procedure).")
    for node in root.walk():
        yield from _item(node, root)
    yield from _statement(root)


def evidence_problems(report: Dataset, root: Node, others: Sequence[Dataset]) -> Iterator[Problem]:
    """The evidence must list what the tree refers to and every analysed instance, and nothing else.

    Parameters
    ----------
    others : the source instances and the SEG documents
    """
    if "CurrentRequestedProcedureEvidenceSequence" not in report:
        yield _evidence("The report lists no evidence.")
        return
    listed = dict(listed_evidence(report))
    known = {str(other.SOPInstanceUID): str(other.SOPClassUID) for other in others}
    for study in report.CurrentRequestedProcedureEvidenceSequence:
        if {str(study.StudyInstanceUID)} != {str(item.StudyInstanceUID) for item in (report, others[0])}:
            yield _evidence("The evidence lies in another study.")
    for node in root.walk():
        if node.value_type == "IMAGE" and _referenced(node) not in listed.items():
            yield _evidence("The tree refers to an instance that the evidence does not list.")
            break
    if not set(known) <= set(listed):
        yield _evidence("An analysed instance or a SEG is not listed as evidence.")
    if not set(listed.items()) <= set(known.items()):
        yield _evidence("The evidence lists an instance that is neither of the source nor of the result.")


def group_problems(root: Node, segments: Sequence[Dataset]) -> Iterator[Problem]:
    """Every segment needs a volumetric group and one with coordinates, tied by its Tracking UID (PS3.17 RRR.5)."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for group in groups_of(root):
        kind = "segment" if group.named("121191") else "line" if _has_line(group) else "other"
        pairs.setdefault(tracking_of(group), []).append(kind)
    if any(not uid or not identifier for uid, identifier in pairs):
        yield _group("A measurement group has no Tracking Identifier or no Tracking Unique Identifier.")
    if any(sorted(kinds) != ["line", "segment"] for kinds in pairs.values()):
        yield _group("A finding does not have one group with its segment and one with coordinates.")
    expected = {(str(item.get("TrackingUID", "")), str(item.get("TrackingID", ""))) for item in segments}
    if set(pairs) != expected:
        yield _group("The tracking identifiers of report and SEG are not the same.")


def listed_evidence(report: Dataset) -> Iterator[tuple[str, str]]:
    """Instance and class of everything that a document lists as evidence."""
    for study in report.CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                yield str(item.ReferencedSOPInstanceUID), str(item.ReferencedSOPClassUID)


def groups_of(root: Node) -> tuple[Node, ...]:
    """The measurement groups of a report."""
    return tuple(group for container in root.named("126010") for group in container.named("125007"))


def tracking_of(group: Node) -> tuple[str, str]:
    """Tracking UID and identifier of a group; empty texts where missing."""
    uids, identifiers = group.named("112040"), group.named("112039")
    uid = str(uids[0].item.UID) if uids else ""
    return uid, str(identifiers[0].item.TextValue) if identifiers else ""


def code_of_template(report: Dataset) -> str:
    """Identifier of the root template; empty if it names none."""
    templates = report.get("ContentTemplateSequence")
    return str(templates[0].get("TemplateIdentifier", "")) if templates else ""


def _title(root: Node) -> str:
    """OHIF shows an Imaging Measurement Report that has no measurements as an empty page."""
    return "126000" if groups_of(root) else "126001"


def _item(node: Node, root: Node) -> Iterator[Problem]:
    keyword = _VALUE_OF_TYPE.get(node.value_type)
    if keyword is None or not node.item.get(keyword) or not all(node.name):
        yield _document(f"A content item ({node.name[0]}) has no name, no known type or no value.")
    expected = _RELATIONSHIPS.get(node.name[0]) or _RELATIONSHIP_OF_TYPE.get(node.value_type)
    if node is not root and (not node.relationship or (expected and node.relationship != expected)):
        yield _document(f"Concept {node.name[0]} must be related by {expected or 'something'}.")


def _statement(root: Node) -> Iterator[Problem]:
    """Present with groups, absent or undetermined without; and never without the notice of research use."""
    statements = [item for container in root.named("C0034375") for item in container.children]
    values = [code_of(item.item, "ConceptCodeSequence")[0] for item in statements if item.name[0] == "27925004"]
    allowed = [_PRESENT] if groups_of(root) else [_ABSENT, _UNDETERMINED]
    if len(values) != 1 or values[0] not in allowed:
        yield _document("The report does not state once, and rightly, whether there are nodules.")
    texts = [str(item.item.TextValue) for item in statements if item.value_type == "TEXT"]
    if not any(text.startswith("Research use only") for text in texts):
        yield _document("The notice of research use is missing.")
    if _UNDETERMINED in values and not any(text.startswith("Not analysed: ") for text in texts):
        yield _document("The report does not say why nothing was analysed.")


def _referenced(node: Node) -> tuple[str, str]:
    reference = node.item.ReferencedSOPSequence[0]
    return str(reference.ReferencedSOPInstanceUID), str(reference.ReferencedSOPClassUID)


def _has_line(group: Node) -> bool:
    return any(node.value_type == "SCOORD" for node in group.walk())


def _document(text: str) -> Problem:
    return Problem(code="sr.document", text=text)


def _evidence(text: str) -> Problem:
    return Problem(code="sr.evidence", text=text)


def _group(text: str) -> Problem:
    return Problem(code="sr.groups", text=text)
