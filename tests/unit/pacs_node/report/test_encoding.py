"""The file of a document is byte for byte the one that pydicom writes by itself."""

from __future__ import annotations

import copy
import dataclasses
import io
from collections.abc import Callable
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from inference.findings import Finding, SoftMask
from pacs_node.report import DocumentRole, ReportRequest, compose
from pacs_node.report.encoding import file_bytes
from tests.support.results import (
    NODULES,
    Case,
    a_case,
    a_ct_header,
    a_grid,
    a_refusal,
    a_request,
    an_enhanced_source,
    as_bytes,
    options,
)

EVERYTHING = options(objects=frozenset(DocumentRole))
ANYTHING = b"x" * 5


def assert_as_by_pydicom(dataset: Dataset) -> None:
    mine, theirs = copy.deepcopy(dataset), copy.deepcopy(dataset)  # writing gives elements their VR for good
    assert file_bytes(mine) == as_bytes(theirs)


def a_dataset() -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2.3"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def with_soft_masks(case: Case) -> Case:
    findings = tuple(dataclasses.replace(item, soft=_soft(item)) for item in case.result.findings)
    return dataclasses.replace(case, result=dataclasses.replace(case.result, findings=findings))


def superseding() -> ReportRequest:
    case = with_soft_masks(a_case())
    before = a_request(case, options=EVERYTHING)
    before = dataclasses.replace(before, identity=dataclasses.replace(before.identity, input_digest="01"))
    return a_request(case, options=EVERYTHING, predecessor=tuple(item.dataset for item in compose(before)))


def enhanced() -> ReportRequest:
    case = with_soft_masks(a_case())
    instance, numbers = an_enhanced_source(case)
    return a_request(case, options=EVERYTHING, source=(instance,), frame_numbers=numbers)


REQUESTS: dict[str, Callable[[], ReportRequest]] = {
    "superseding": superseding,
    "enhanced": enhanced,
    "one nodule, frames that end inside a byte": lambda: a_request(
        with_soft_masks(a_case(NODULES[:1], a_grid((32, 63, 61)))), options=EVERYTHING
    ),
    "nothing found": lambda: a_request(a_case(nodules=()), options=EVERYTHING),
    "not analysed": lambda: a_refusal(options=EVERYTHING),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_document_is_written_as_by_pydicom(name: str) -> None:
    documents = compose(REQUESTS[name]())
    for document in documents:
        assert document.content == as_bytes(document.dataset)
    if name == "superseding":
        assert {document.role for document in documents} == set(DocumentRole)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", "王^小東"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("ISO_IR 144", "Иванов^Иван"),
        (None, "Doe^John"),
    ],
)
@pytest.mark.parametrize("is_undefined_length", [True, False])
def test_what_a_scanner_wrote_is_written_as_by_pydicom(
    syntax: str, charset: Any, name: str, is_undefined_length: bool
) -> None:
    """Sequences of the study are copied as they were read, some of their elements decoded by then, some not."""
    source = parsed_header(_scanned(charset, name, is_undefined_length=is_undefined_length), syntax)
    for document in compose(a_refusal(source=(source,))):
        assert "ProcedureCodeSequence" in document.dataset
        assert_as_by_pydicom(document.dataset)


def parsed_header(header: Dataset, syntax: str) -> Dataset:
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def _scanned(charset: Any, name: str, *, is_undefined_length: bool) -> Dataset:
    header, code, person = a_ct_header(a_grid(), 0), Dataset(), Dataset()
    if charset is None:
        del header.SpecificCharacterSet
    else:
        header.SpecificCharacterSet = charset
    header.PatientName = header.ReferringPhysicianName = name
    person.InstitutionName, person.PersonIdentificationCodeSequence = name, []
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", name.split("=")[0]
    code.add_new(0x00090010, "LO", "MAKER")
    code.add_new(0x00091001, "UN", ANYTHING + b"y")
    header.ProcedureCodeSequence = [code, Dataset()]
    header.ReferringPhysicianIdentificationSequence = [person]
    for sequence in ("ProcedureCodeSequence", "ReferringPhysicianIdentificationSequence"):
        header[sequence].is_undefined_length = is_undefined_length
        for item in header[sequence].value:
            item.is_undefined_length_sequence_item = is_undefined_length
    return header


VALUES: dict[str, tuple[int, Any]] = {
    "AE": (0x00080054, ["ONE", "TWO"]),
    "AS": (0x00101010, "061Y"),
    "AT": (0x00280009, [0x00181063, 0x00181065]),
    "CS": (0x00080008, ["ORIGINAL", "PRIMARY"]),
    "DA": (0x00080020, "20260303"),
    "DS": (0x00200032, ["-1.50", "2", "3.25"]),
    "DT": (0x0008002A, "20260303101500.5"),
    "FD": (0x0040A161, 1.5),
    "FL": (0x00700022, [1.5, 2.5, 3.5]),
    "IS": (0x00081160, ["1", "12"]),
    "LO": (0x00081030, "Brust"),
    "LT": (0x00104000, "Text"),
    "OB": (0x00420011, ANYTHING),
    "OD": (0x7FE00009, ANYTHING + b"123"),
    "OF": (0x7FE00008, ANYTHING + b"123"),
    "OL": (0x00660129, ANYTHING + b"123"),
    "OV": (0x7FE00001, ANYTHING + b"123"),
    "OW": (0x00281201, ANYTHING),
    "PN": (0x00081050, ["Müller^Jörg", "B"]),
    "SH": (0x00080050, "A-1"),
    "SL": (0x00186020, -7),
    "SQ": (0x00081140, [Dataset()]),
    "SS": (0x00189219, -7),
    "ST": (0x00080081, "Straße"),
    "SV": (0x00720082, -7),
    "TM": (0x00080030, "101500"),
    "UC": (0x00080119, "Text"),
    "UI": (0x00081155, "1.2.3"),
    "UL": (0x00209157, [1, 2]),
    "UN": (0x00091001, ANYTHING + b"y"),
    "UR": (0x00081190, "http://x"),
    "US": (0x00280010, 512),
    "UT": (0x0040A160, "Text"),
    "UV": (0x00720083, 7),
}
"""An element of each VR."""


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", None])
@pytest.mark.parametrize("vr", VALUES)
def test_every_vr_is_written_as_by_pydicom_with_a_value_and_without(vr: str, charset: str | None) -> None:
    tag, value = VALUES[vr]
    empty: Any = [] if vr == "SQ" else None
    for given in (value, empty):
        dataset, item = a_dataset(), Dataset()
        dataset.SpecificCharacterSet = charset
        item.add_new(tag, vr, given)
        dataset.add_new(tag, vr, given)
        dataset.ReferencedSeriesSequence = [item]
        assert_as_by_pydicom(dataset)


def test_an_item_with_a_character_set_of_its_own_is_written_in_it() -> None:
    dataset, item, below = a_dataset(), Dataset(), Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    item.SpecificCharacterSet, item.CodeMeaning = "ISO_IR 192", "größer"
    below.CodeMeaning, item.EquivalentCodeSequence = "größer", [below]
    dataset.ProcedureCodeSequence, dataset.StudyDescription = [item], "größer"
    assert_as_by_pydicom(dataset)
    assert dcmread(io.BytesIO(file_bytes(dataset))).ProcedureCodeSequence[0].EquivalentCodeSequence == [below]


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_vr_that_depends_on_another_element_is_told_from_the_nearest_item_that_has_it(is_signed: bool) -> None:
    dataset, item, below = a_dataset(), Dataset(), Dataset()
    below.PixelPaddingValue = item.SmallestImagePixelValue = dataset.LargestImagePixelValue = 7
    dataset.BitsAllocated, dataset.PixelData = 16, b"1234"
    item.ReferencedImageSequence, dataset.ReferencedSeriesSequence = [below], [item]
    item.PixelRepresentation, dataset.PixelRepresentation = int(is_signed), int(not is_signed)
    assert_as_by_pydicom(dataset)


def test_lengths_that_are_not_told_stay_so() -> None:
    dataset, items = a_dataset(), [Dataset(), Dataset()]
    items[0].StudyDescription, items[0].is_undefined_length_sequence_item = "x", True
    dataset.ReferencedSeriesSequence = items
    assert_as_by_pydicom(dataset)
    dataset["ReferencedSeriesSequence"].is_undefined_length = True
    assert_as_by_pydicom(dataset)


def test_what_is_too_long_for_its_vr_is_written_as_by_pydicom() -> None:
    dataset = a_dataset()
    dataset.add(DataElement(0x00081030, "LO", "x" * 0x10001, validation_mode=0))
    dataset.SeriesDescription = "after it"
    with pytest.warns(UserWarning, match="exceeds the size of 64 kByte"):
        assert_as_by_pydicom(dataset)


def test_retired_group_lengths_are_left_out() -> None:
    dataset, item = a_dataset(), Dataset()
    for place in (dataset, item):
        place.add_new(0x00080000, "UL", 7)
        place.StudyDescription = "x"
    dataset.ReferencedSeriesSequence = [item]
    assert_as_by_pydicom(dataset)
    assert 0x00080000 not in dcmread(io.BytesIO(file_bytes(dataset)))


def test_values_that_are_read_from_a_file_are_written_as_by_pydicom() -> None:
    dataset = a_dataset()
    dataset.add_new(0x00420011, "OB", io.BytesIO(ANYTHING))
    assert file_bytes(dataset) == as_bytes(dataset)


@pytest.mark.parametrize("vr", ["US or SS or OW", "XX"])
def test_a_vr_that_cannot_be_told_is_refused(vr: str) -> None:
    dataset = a_dataset()
    dataset.StudyDescription = "x"
    dataset["StudyDescription"].VR = vr
    with pytest.raises((ValueError, NotImplementedError)):
        file_bytes(dataset)


def _soft(finding: Finding) -> SoftMask:
    return SoftMask(start_kji=finding.mask.start_kji, values=finding.mask.voxels.astype("uint8") * 255)
