"""Whether a rejection note rejects an earlier result, and nothing else. Called from `check`.

References
----------
PS3.16 TID 2010, CID 7011; IHE RAD TF-3 4.66 (rejection notes).
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from pacs_node.report.check.document import listed_evidence
from pacs_node.report.check.examined import Examined
from pacs_node.report.check.problem import Problem
from pacs_node.report.check.tree import read_tree

_TITLES = {("113001", "DCM"), ("113037", "DCM"), ("113038", "DCM"), ("113039", "DCM")}
"""Rejected for quality or safety reasons, wrong work list entry, retention expired: what archives hide instances by."""


def rejection_problems(document: Dataset, examined: Examined) -> Iterator[Problem]:
    """Problems of the title, and of what is rejected."""
    root = read_tree(document)
    if root.name not in _TITLES:
        yield _problem("Its title is none that rejects.")
    selected = {
        (str(item.ReferencedSOPInstanceUID), str(item.ReferencedSOPClassUID))
        for node in root.walk()
        if node.value_type in ("IMAGE", "COMPOSITE")
        for item in node.item.ReferencedSOPSequence
    }
    if not selected or selected != set(listed_evidence(document)):
        yield _problem("It rejects nothing, or other instances than its evidence lists.")
    kept = {str(item.SOPInstanceUID) for item in (*examined.headers, *examined.documents)}
    if {uid for uid, _ in selected} & kept:
        yield _problem("It rejects an instance of the CT or of the result that it belongs to.")


def _problem(text: str) -> Problem:
    return Problem(code="rejection", text=text)
