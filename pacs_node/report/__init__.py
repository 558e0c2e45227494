"""Results as DICOM: SEG and structured report (the only highdicom), pictures, and a check of its own (`check`).

Pure functions of their arguments. Called from `pacs_node.steps.compose` and the command line.
"""

from __future__ import annotations

from pacs_node.domain.document import DocumentRole, SrClass
from pacs_node.report.composing import compose
from pacs_node.report.identity import ResultIdentity, uid
from pacs_node.report.request import MANY_FRAMES, Document, ReportOptions, ReportRequest

__all__ = [
    "MANY_FRAMES",
    "Document",
    "DocumentRole",
    "ReportOptions",
    "ReportRequest",
    "ResultIdentity",
    "SrClass",
    "compose",
    "uid",
]
