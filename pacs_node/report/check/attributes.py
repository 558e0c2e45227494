"""Attributes that a document must have with a value, whatever it says. Called from `check`.

The rest of the modules is left to public validators (dciodvfy), which are good at this and at little else.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from pacs_node.report.check.kinds import Kind, kind_of
from pacs_node.report.check.problem import Problem

_ALWAYS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "Modality",
    "SeriesDescription",
    "Manufacturer",
    "ManufacturerModelName",
)
_EQUIPMENT = ("DeviceSerialNumber", "SoftwareVersions")
_CONTENT = ("ContentDate", "ContentTime")
_SEG = (
    *_EQUIPMENT,
    *_CONTENT,
    "ImageType",
    "ContentLabel",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
    "SourceImageSequence",
)
_SR = (*_EQUIPMENT, *_CONTENT, "CompletionFlag", "VerificationFlag", "ContentTemplateSequence", "ContinuityOfContent")
_OF_KIND = {
    Kind.NODULES: _SEG,
    Kind.LUNGS: _SEG,
    Kind.SOFT: (*_SEG, "SegmentationFractionalType", "MaximumFractionalValue"),
    Kind.REPORT: _SR,
    Kind.CAD: _SR,
    Kind.CAPTURE: (*_CONTENT, "ConversionType", "ImageType", "BurnedInAnnotation"),
    Kind.PRESENTATION: (
        "ContentLabel",
        "PresentationCreationDate",
        "PresentationCreationTime",
        "DisplayedAreaSelectionSequence",
        "PresentationLUTShape",
    ),
    Kind.PDF: (*_CONTENT, "DocumentTitle", "BurnedInAnnotation", "MIMETypeOfEncapsulatedDocument"),
    Kind.STRUCTURES: ("StructureSetLabel", "StructureSetDate", "StructureSetTime", "FrameOfReferenceUID"),
    Kind.REJECTION: (*_CONTENT, "ContentTemplateSequence", "ContinuityOfContent"),
}
"""Type 1 in PS3.3 A.51, A.35, A.8, A.33, A.45 and A.19; series description and source images by our own rule."""
_MODALITIES = {
    Kind.NODULES: ("SEG",),
    Kind.LUNGS: ("SEG",),
    Kind.SOFT: ("SEG",),
    Kind.REPORT: ("SR",),
    Kind.CAD: ("SR",),
    Kind.CAPTURE: ("OT", "CT", "SC"),
    Kind.PRESENTATION: ("PR",),
    Kind.PDF: ("DOC",),
    Kind.STRUCTURES: ("RTSTRUCT",),
    Kind.REJECTION: ("KO",),
}


_WITH_CREATOR = (Kind.NODULES, Kind.LUNGS, Kind.SOFT, Kind.PRESENTATION)
"""With the Content Identification Macro, where it is type 2 (PS3.3 table 10-12)."""


def attribute_problems(document: Dataset) -> Iterator[Problem]:
    """Attributes that are missing, empty or not those of the kind of document; research use not said."""
    kind = kind_of(document)
    for keyword in (*_ALWAYS, *_OF_KIND.get(kind, ())):
        if not document.get(keyword):
            yield _problem(f"{keyword} is missing or empty.")
    if kind in _WITH_CREATOR and "ContentCreatorName" not in document:
        yield _problem("ContentCreatorName is missing; it may be empty.")
    if kind in _MODALITIES and document.get("Modality") not in _MODALITIES[kind]:
        yield _problem("The modality is not that of its kind of document.")
    if "research use" not in str(document.get("SeriesDescription")).casefold():
        yield _problem("The description of the series does not say that the result is for research use.")


def _problem(text: str) -> Problem:
    return Problem(code="attributes.required", text=text)
