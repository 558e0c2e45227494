"""What a document is, by what it says itself. Used by the modules of `check`."""

from __future__ import annotations

from enum import Enum

from pydicom.dataset import Dataset

_STORAGE = "1.2.840.10008.5.1.4.1.1"


class Kind(Enum):
    """The kinds of documents that a result may have."""

    NODULES = "nodule SEG"
    LUNGS = "lung SEG"
    SOFT = "fractional SEG"
    REPORT = "report"
    CAD = "Chest CAD SR"
    CAPTURE = "secondary capture"
    PRESENTATION = "presentation state"
    PDF = "encapsulated PDF"
    STRUCTURES = "RT structure set"
    REJECTION = "rejection note"
    OTHER = "document of another kind"


_LUNG = "39607008"
_SEG_CLASS = f"{_STORAGE}.66.4"
_KIND_OF_CLASS = {
    f"{_STORAGE}.88.22": Kind.REPORT,
    f"{_STORAGE}.88.33": Kind.REPORT,
    f"{_STORAGE}.88.34": Kind.REPORT,
    f"{_STORAGE}.88.65": Kind.CAD,
    f"{_STORAGE}.7": Kind.CAPTURE,
    f"{_STORAGE}.11.1": Kind.PRESENTATION,
    f"{_STORAGE}.104.1": Kind.PDF,
    f"{_STORAGE}.481.3": Kind.STRUCTURES,
    f"{_STORAGE}.88.59": Kind.REJECTION,
}
"""PS3.4 table B.5-1; all but segmentations, of which there are three."""


def kind_of(document: Dataset) -> Kind:
    """By SOP class; SEGs by their type, and by whether all of their segments are lungs."""
    sop_class = str(document.get("SOPClassUID"))
    if sop_class != _SEG_CLASS:
        return _KIND_OF_CLASS.get(sop_class, Kind.OTHER)
    if document.get("SegmentationType") == "FRACTIONAL":
        return Kind.SOFT
    types = [item.get("SegmentedPropertyTypeCodeSequence") for item in document.get("SegmentSequence") or ()]
    is_lungs = bool(types) and all(codes and codes[0].get("CodeValue") == _LUNG for codes in types)
    return Kind.LUNGS if is_lungs else Kind.NODULES
