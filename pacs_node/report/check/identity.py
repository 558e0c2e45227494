"""Whether a document belongs to the patient and study of its source, in a character set that holds its text.

Texts of problems never quote a value. Called from `check`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset

from pacs_node.report.check.problem import Problem

_SAME = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_TEXT_VRS = {"PN", "LO", "SH", "ST", "LT", "UT", "UC"}


def identity_problems(document: Dataset, header: Dataset) -> Iterator[Problem]:
    """Attributes of patient and study that differ from the source."""
    for keyword in _SAME:
        if str(document.get(keyword) or "") != str(header.get(keyword) or ""):
            yield Problem(code="id.patient_study", text=f"{keyword} is not that of the source.")
    if str(document.SOPInstanceUID) != str(document.file_meta.MediaStorageSOPInstanceUID):
        yield Problem(code="id.patient_study", text="The file meta information names another instance.")
    if str(document.SeriesInstanceUID) == str(header.SeriesInstanceUID):
        yield Problem(code="id.patient_study", text="The result lies in the series of its source.")


def charset_problems(document: Dataset, header: Dataset) -> Iterator[Problem]:
    """Text that the declared character set cannot hold, or that was decoded with a wrong one."""
    declared = document.get("SpecificCharacterSet")
    if str(declared) not in (str(header.get("SpecificCharacterSet")), "ISO_IR 192"):
        yield Problem(code="text.charset", text="The character set is neither that of the source nor UTF-8.")
    encodings = convert_encodings(declared)
    strange = {keyword for keyword, text in _texts(document) if not _fits(text, encodings)}
    known = {keyword for keyword, text in _texts(header) if "\ufffd" in text}
    for keyword in sorted(strange - known):
        yield Problem(code="text.charset", text=f"{keyword} does not fit the declared character set.")


def _texts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for element in dataset.iterall():
        if element.VR in _TEXT_VRS and element.value:
            yield element.keyword, str(element.value)


def _fits(text: str, encodings: list[str]) -> bool:
    return "\ufffd" not in text and all(any(_encodes(char, name) for name in encodings) for char in set(text))


def _encodes(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
