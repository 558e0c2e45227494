"""Attributes that a document must have with a value, whatever it says. Called from `check`.

The rest of the modules is left to public validators (dciodvfy), which are good at this and at little else.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

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
    "ContentDate",
    "ContentTime",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)
_SEG = ("ImageType", "ContentLabel", "DimensionOrganizationSequence", "DimensionIndexSequence", "SourceImageSequence")
_SR = ("CompletionFlag", "VerificationFlag", "ContentTemplateSequence", "ContinuityOfContent")
"""Type 1 in PS3.3 A.51 (SEG) and A.35 (SR); series description and source images by our own rule."""


def attribute_problems(document: Dataset) -> Iterator[Problem]:
    """Attributes that are missing or empty."""
    needed = (*_ALWAYS, *(_SR if document.get("Modality") == "SR" else _SEG))
    for keyword in needed:
        if not document.get(keyword):
            yield Problem(code="attributes.required", text=f"{keyword} is missing or empty.")
