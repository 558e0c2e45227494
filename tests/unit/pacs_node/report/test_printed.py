"""The report as PDF, taken apart with regular expressions: its text lies uncompressed in the page streams."""

from __future__ import annotations

import base64
import dataclasses
import io
import re

import pytest
from PIL import Image
from pydicom.dataset import Dataset

from inference.findings import Finding, Limit
from pacs_node.domain.rule import Reason
from pacs_node.report import Document, ReportRequest, compose, wording
from pacs_node.report.check import check
from tests.support.results import (
    Case,
    a_case,
    a_refusal,
    a_request,
    an_identity,
    as_bytes,
    options,
    read_back,
)

WITH_PDF = options(objects=frozenset({"pdf"}))


def written(request: ReportRequest) -> Document:
    (document,) = [item for item in compose(dataclasses.replace(request, options=WITH_PDF)) if item.role == "pdf"]
    return document


def read(request: ReportRequest) -> Dataset:
    (document,) = read_back([written(request)])
    return document


def pdf(document: Dataset) -> bytes:
    return bytes(document.EncapsulatedDocument[: document.EncapsulatedDocumentLength])


def text(document: Dataset) -> str:
    """Everything that is written on the pages, in the order in which it is drawn."""
    drawn = re.findall(rb"\(((?:\\.|[^\\()])*)\) Tj", pdf(document))
    plain = [re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), item) for item in drawn]
    return " ".join(re.sub(rb"\\(.)", rb"\1", item).decode("cp1252") for item in plain)


def pages(document: Dataset) -> int:
    return len(re.findall(rb"/Type /Page\b", pdf(document)))


def pictures(document: Dataset) -> list[Image.Image]:
    streams = re.findall(rb"/Subtype /Image.*?stream\r?\n(.*?)endstream", pdf(document), re.DOTALL)
    return [Image.open(io.BytesIO(base64.a85decode(stream.strip(), adobe=False))) for stream in map(_bare, streams)]


def _bare(stream: bytes) -> bytes:
    return stream.strip().removesuffix(b"~>")


@pytest.fixture(scope="module")
def case() -> Case:
    return a_case()


@pytest.fixture(scope="module")
def document(case: Case) -> Dataset:
    return read(a_request(case))


def with_findings(case: Case, *findings: Finding) -> Case:
    return dataclasses.replace(case, result=dataclasses.replace(case.result, findings=findings))


def many(case: Case, count: int) -> Case:
    both = case.result.findings
    return with_findings(case, *[dataclasses.replace(both[n % 2], number=n + 1) for n in range(count)])


def test_it_is_a_pdf_whose_objects_are_where_its_table_says(document: Dataset) -> None:
    content = pdf(document)
    assert content.startswith(b"%PDF-1.")
    assert content.rstrip().endswith(b"%%EOF")
    (start,) = re.findall(rb"startxref\s+(\d+)", content)
    assert content[int(start) :].startswith(b"xref")
    offsets = re.findall(rb"(\d{10}) 00000 n", content)
    assert len(offsets) > 5
    for number, offset in enumerate(offsets, start=1):
        assert content[int(offset) :].startswith(b"%d 0 obj" % number)


def test_the_instance_holds_the_pdf_padded_to_an_even_length(document: Dataset) -> None:
    assert document.SOPClassUID == document.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
    assert document.MIMETypeOfEncapsulatedDocument == "application/pdf"
    stored = document.EncapsulatedDocument
    assert len(stored) == document.EncapsulatedDocumentLength + document.EncapsulatedDocumentLength % 2
    assert document["EncapsulatedDocument"].VR == "OB"


def test_the_answer_and_every_value_of_every_nodule_can_be_searched(case: Case, document: Dataset) -> None:
    said = text(document)
    assert "2 nodules found." in said
    for finding in case.result.findings:
        k = finding.long_axis.slice_k
        row = (
            f"{finding.number} {k + 1} ({k + 1}) {finding.equivalent_diameter_mm:.1f} mm "
            f"{finding.long_axis.length_mm:.1f} x {finding.short_axis.length_mm:.1f} mm {finding.volume_mm3:.0f} mm3 "
            f"{finding.mean_hu:.0f} ± {finding.sd_hu:.0f} HU {finding.attenuation} {finding.laterality} 25 % 90 %"
        )
        assert row in said
        assert f"Nodule {finding.number}, slice {k + 1} ({k + 1})" in said


def test_remarks_and_models_are_printed_in_full(case: Case, document: Dataset) -> None:
    request = a_request(case)
    for sentence in (*wording.remarks(request), *wording.models(request)):
        assert sentence in text(document)


def test_every_page_says_that_it_is_research(case: Case) -> None:
    document = read(a_request(many(case, 40)))
    assert text(document).count("Research use only. Not for diagnosis or treatment.") == pages(document) + 2


def test_nothing_of_the_patient_or_study_is_printed(case: Case, document: Dataset) -> None:
    content = pdf(document).decode("latin-1") + text(document)
    secrets = ("Müller", "M?ller", "Jörg", "J?rg", "PAT-7", "HOSPITAL", "1950", "ACC-1", "rztin", "2026-03-03")
    for secret in (*secrets, str(case.source[0].StudyInstanceUID)):
        assert secret not in content
    assert document.BurnedInAnnotation == "NO"


def test_every_nodule_has_a_picture(case: Case, document: Dataset) -> None:
    shown = pictures(document)
    assert [picture.size for picture in shown] == [(480, 360)] * len(case.result.findings)
    assert all(len(picture.convert("RGB").getcolors(1 << 18) or []) > 50 for picture in shown)


def test_without_the_ct_there_are_no_pictures_and_the_table_stays(case: Case) -> None:
    document = read(a_request(case, volume=None))
    assert pictures(document) == []
    assert "11.9 x 7.6 mm" in text(document)


def test_two_pages_are_enough_for_any_number_of_nodules(case: Case) -> None:
    assert [pages(read(a_request(many(case, count)))) for count in (2, 12, 60)] == [1, 2, 2]
    said = text(read(a_request(many(case, 60))))
    assert "30 more are not listed here" in said
    assert "48 more are not shown here" in said


def test_a_negative_result_is_printed_too() -> None:
    document = read(a_request(a_case(nodules=())))
    assert "No nodule found." in text(document)
    assert "Slice (image)" not in text(document)
    assert pictures(document) == []


def test_a_limited_result_says_so() -> None:
    case = a_case(nodules=())
    limits = (Limit(code="lungs.cut-at-top", text="the top of the lungs is not on the CT"),)
    limited = dataclasses.replace(case, result=dataclasses.replace(case.result, limits=limits))
    said = text(read(a_request(limited)))
    assert "No nodule found in the part of the lungs that was covered." in said
    assert "Limited: the top of the lungs is not on the CT." in said


def test_a_study_that_was_not_analysed_gets_its_reasons_whatever_characters_they_hold() -> None:
    reasons = (Reason(code="a", text="fewer <b>slices</b> &lt; 5"), Reason(code="b", text="größer (als) \\ 3"))
    said = text(read(a_refusal(*reasons)))
    assert "Not analysed." in said
    assert "fewer<b>slices</b>&lt;5" in said.replace(" ", "")
    assert "Not analysed: gr??er (als) \\ 3" in said


def test_it_is_a_series_of_its_own_of_the_same_patient_and_study(case: Case, document: Dataset) -> None:
    assert (document.Modality, document.SeriesNumber, document.ConversionType) == ("DOC", 951, "WSD")
    assert document.PatientName == "Müller^Jörg"
    assert document.StudyInstanceUID == case.source[0].StudyInstanceUID
    assert "research use" in document.DocumentTitle
    assert (document.ContentDate, document.ContentTime) == ("20260304", "050607")


def test_it_names_the_instances_that_it_was_made_from(case: Case, document: Dataset) -> None:
    named = [item.ReferencedSOPInstanceUID for item in document.SourceInstanceSequence]
    assert named == [header.SOPInstanceUID for header in case.source]


def test_it_names_the_one_that_it_takes_the_place_of(case: Case, document: Dataset) -> None:
    again = read(a_request(case, identity=an_identity(input_digest="01"), predecessor=(document,)))
    (study,) = again.PredecessorDocumentsSequence
    (item,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID == document.SOPInstanceUID != again.SOPInstanceUID


@pytest.mark.parametrize("kind", ["positive", "negative", "not analysed"])
def test_the_own_check_has_nothing_to_say(kind: str) -> None:
    request = {"positive": a_request(a_case()), "negative": a_request(a_case(nodules=())), "not analysed": a_refusal()}
    documents = read_back(compose(dataclasses.replace(request[kind], options=WITH_PDF)))
    assert "1.2.840.10008.5.1.4.1.1.104.1" in [item.SOPClassUID for item in documents]
    assert check(request[kind].source, documents) == ()


def test_the_same_request_gives_the_same_bytes(case: Case) -> None:
    one, other = (as_bytes(written(a_request(case)).dataset) for _ in range(2))
    assert one == other


def test_nobody_gets_one_who_does_not_ask(case: Case) -> None:
    assert "pdf" not in [item.role for item in compose(a_request(case))]
