"""The rejection note: a key object selection that tells the archive to hide the result which this one supersedes.

Called from `composing`.

References
----------
PS3.3 A.35.4 and C.17.6; PS3.16 TID 2010, CID 7010; IHE Radiology, Imaging Object Change Management (RAD-66): 113001
marks instances that are not to be shown any more, but kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset

from pacs_node.domain.document import DocumentRole
from pacs_node.report import codes
from pacs_node.report.identity import uid
from pacs_node.report.request import ReportRequest
from pacs_node.report.source import instance_stand_in
from pacs_node.report.stamp import MANUFACTURER, MODEL_NAME, stamp

DESCRIPTION = "Superseded by a newer result of the same study. Research use only."


def rejection_note(request: ReportRequest) -> Dataset:
    """The note of a request that has a predecessor; names every document of it."""
    rejected = [_stand_in(request, document) for document in request.predecessor]
    role = f"{DocumentRole.REJECTION}-{_digest(request.predecessor)}"  # other documents, other note
    note = KeyObjectSelectionDocument(
        evidence=rejected,
        content=KeyObjectSelection(codes.REJECTED_FOR_QUALITY, rejected, description=DESCRIPTION),
        series_instance_uid=uid(request.identity, f"{role}-series"),
        series_number=971,
        sop_instance_uid=uid(request.identity, role),
        instance_number=1,
        manufacturer=MANUFACTURER,
        series_description="PulmoNode rejection note (research use)",
    )
    note.ManufacturerModelName = MODEL_NAME
    stamp(note, request)
    return note


def _stand_in(request: ReportRequest, document: Dataset) -> Dataset:
    """As much of a document as a reference needs; with pixels it is an image, else a composite object."""
    item = instance_stand_in(request)
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Rows", "Columns"):
        if keyword in document:
            setattr(item, keyword, document[keyword].value)
    return item


def _digest(documents: Sequence[Dataset]) -> str:
    return hashlib.sha256("\n".join(sorted(str(item.SOPInstanceUID) for item in documents)).encode()).hexdigest()
