"""Whether a document belongs to the patient and study of its source, in a character set that holds its text.

Texts of problems never quote a value. Called from `check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

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
_NAMES = ("PatientName", "ReferringPhysicianName")
_TEXT_VRS = {"PN", "LO", "SH", "ST", "LT", "UT", "UC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names by keyword: as they stand in the file (None if they have been decoded since), and as written anew."""

    charset: str
    raw: Mapping[str, bytes | None]
    encoded: Mapping[str, bytes]


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
    if str(document.get("SpecificCharacterSet")) not in (str(header.get("SpecificCharacterSet")), "ISO_IR 192"):
        yield _charset("The character set is neither that of the source nor UTF-8.")
    encodings = convert_encodings(document.get("SpecificCharacterSet"))
    known = {text for _, text in _texts(header)}
    written = set(_texts(document))  # codes say the same again and again
    strange = {keyword for keyword, text in written if text not in known and not _fits(text, encodings)}
    for keyword in sorted(strange):
        yield _charset(f"{keyword} does not fit the declared character set.")


def written_names(dataset: Dataset) -> Names:
    """The names of patient and physician; to be asked before anybody decodes them, which drops their bytes."""
    raw = {keyword: _raw(dataset, keyword) for keyword in _NAMES}
    encodings = convert_encodings(dataset.get("SpecificCharacterSet"))
    encoded = {keyword: PersonName(str(dataset.get(keyword) or "")).encode(encodings) for keyword in _NAMES}
    return Names(charset=str(dataset.get("SpecificCharacterSet")), raw=raw, encoded=encoded)


def name_problems(names: Names, expected: Names) -> Iterator[Problem]:
    """Names in other bytes than those of the source, where both have the same character set."""
    if names.charset != expected.charset:
        return
    for keyword in _NAMES:
        mine, theirs = names.raw[keyword], expected.raw[keyword]
        if mine is None or theirs is None:
            mine, theirs = names.encoded[keyword], expected.encoded[keyword]
        if mine.rstrip(b" \0") != theirs.rstrip(b" \0"):
            yield _charset(f"{keyword} is not written with the bytes of the source.")


def _raw(dataset: Dataset, keyword: str) -> bytes | None:
    element = dataset.get_item(keyword)
    return element.value or b"" if isinstance(element, RawDataElement) else None


def _texts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    pending = [dataset]
    while pending:
        for element in pending.pop():
            if element.VR == "SQ":
                pending.extend(element.value or ())
            elif element.VR in _TEXT_VRS and element.value:
                yield element.keyword, str(element.value)


def _fits(text: str, encodings: list[str]) -> bool:
    """Every character can be encoded, none stands for damage, and what is written is not UTF-8 under another name."""
    if "\ufffd" in text or not all(any(_encodes(char, name) for name in encodings) for char in set(text)):
        return False
    return text.isascii() or encodings[0].upper() == "UTF8" or not _is_utf8(text, encodings[0])


def _is_utf8(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding).decode("utf-8")
    except UnicodeError:
        return False
    return True


def _encodes(char: str, encoding: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _charset(text: str) -> Problem:
    return Problem(code="text.charset", text=text)
