"""Secondary captures, read back from their bytes."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from inference.findings import Limit
from inference.geometry import Grid
from pacs_node.domain.rule import Reason
from pacs_node.report import Document, ReportRequest, compose
from pacs_node.report.captures import captures
from tests.support.pictures import shows
from tests.support.results import (
    COMPOSED_AT,
    SERIES_UID,
    STUDY_UID,
    Case,
    Pear,
    a_case,
    a_grid,
    a_refusal,
    a_request,
    an_enhanced_source,
    an_identity,
    as_bytes,
    options,
    parsed,
)

ONLY = options(objects=frozenset({"captures"}))
RESEARCH_USE = "Research use only. Not for diagnosis or treatment."


@pytest.fixture(scope="module")
def case() -> Case:
    return a_case()


@pytest.fixture(scope="module")
def documents(case: Case) -> list[Document]:
    return [document for document in compose(a_request(case, options=ONLY)) if document.role == "captures"]


@pytest.fixture(scope="module")
def pages(documents: list[Document]) -> list[Dataset]:
    return [parsed(as_bytes(document.dataset)) for document in documents]


def read(request: ReportRequest) -> list[Dataset]:
    return [parsed(as_bytes(dataset)) for dataset in captures(request)]


def test_a_page_of_all_comes_first_and_then_a_key_image_of_every_nodule(
    documents: list[Document], pages: list[Dataset]
) -> None:
    assert [document.number for document in documents] == [1, 2, 3]
    assert [page.InstanceNumber for page in pages] == [1, 2, 3]
    assert shows(pages[0].pixel_array, "2 nodules found.")
    assert shows(pages[1].pixel_array, "Nodule 1 of 2")
    assert shows(pages[2].pixel_array, "Nodule 2 of 2")


def test_all_lie_in_one_series_of_their_own(pages: list[Dataset]) -> None:
    assert len({page.SOPInstanceUID for page in pages}) == 3
    assert len({page.SeriesInstanceUID for page in pages}) == 1
    assert pages[0].SeriesInstanceUID != SERIES_UID
    assert {page.SeriesNumber for page in pages} == {931}
    assert {page.SeriesDescription for page in pages} == {"PulmoNode pictures (research use)"}
    assert {page.Modality for page in pages} == {"OT"}


def test_they_are_images_that_any_viewer_can_show(pages: list[Dataset]) -> None:
    for page in pages:
        assert page.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
        assert page.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert page.PhotometricInterpretation == "RGB"
        assert (page.SamplesPerPixel, page.PlanarConfiguration) == (3, 0)
        assert (page.BitsAllocated, page.BitsStored, page.HighBit, page.PixelRepresentation) == (8, 8, 7, 0)
        assert len(page.PixelData) == page.Rows * page.Columns * 3
        assert page.ImageType == ["DERIVED", "SECONDARY", "OTHER"]
        assert page.ConversionType == "WSD"
    assert [(page.Rows, page.Columns) for page in pages[1:]] == [(768, 768)] * 2
    assert pages[0].Columns == 1024


def test_they_say_in_pixels_and_in_words_that_it_is_research(pages: list[Dataset]) -> None:
    for page in pages:
        assert shows(page.pixel_array, "RESEARCH USE ONLY")
        assert page.ImageComments.endswith(RESEARCH_USE)
    assert shows(pages[0].pixel_array, RESEARCH_USE)
    assert pages[0].ImageComments == f"2 nodules found. {RESEARCH_USE}"
    assert pages[2].ImageComments.startswith("Nodule 2, slice ")


def test_the_page_names_the_models_and_what_a_reader_must_know(pages: list[Dataset]) -> None:
    pixels = pages[0].pixel_array
    assert shows(pixels, "PulmoNode 0.1.0, pipeline jnsc")
    assert shows(pixels, f"jnsc version 3 (detector), SHA-256 {'ab' * 32}")
    assert shows(pixels, "Probability of cancer: as learned from these labels: median of ratings.")


def test_a_key_image_names_the_slice_that_it_shows(case: Case, pages: list[Dataset]) -> None:
    for finding, page in zip(case.result.findings, pages[1:], strict=True):
        k = finding.long_axis.slice_k
        (source,) = page.SourceImageSequence
        assert source.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
        assert source.ReferencedSOPInstanceUID == f"{SERIES_UID}.{k + 1}"
        assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert "ReferencedFrameNumber" not in source
        assert f"slice {k + 1} of 32 (image {k + 1})" in page.DerivationDescription
        assert shows(page.pixel_array, f"slice {k + 1} of 32 (image {k + 1}), z = {-100 + 1.25 * k:.1f} mm")
        (series,) = page.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == SERIES_UID
        assert [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence] == [
            source.ReferencedSOPInstanceUID
        ]


def test_the_page_names_every_slice_because_its_map_shows_all(case: Case, pages: list[Dataset]) -> None:
    named = [item.ReferencedSOPInstanceUID for item in pages[0].SourceImageSequence]
    assert named == [header.SOPInstanceUID for header in case.source]


@pytest.mark.parametrize("copies", [1, 32], ids=["one header", "a header per slice"])
def test_of_an_enhanced_ct_a_key_image_names_the_frame(case: Case, copies: int) -> None:
    instance, frames = an_enhanced_source(case)
    page, *key_images = read(a_request(case, source=(instance,) * copies, frame_numbers=frames))
    for finding, image in zip(case.result.findings, key_images, strict=True):
        frame = frames[finding.long_axis.slice_k]
        (source,) = image.SourceImageSequence
        assert (source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber) == (instance.SOPInstanceUID, frame)
        assert f"(image {frame})" in image.ImageComments
    (source,) = page.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == instance.SOPInstanceUID
    assert "ReferencedFrameNumber" not in source


@pytest.mark.parametrize(
    ("directions", "orientation"),
    [
        (((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)), ["L", "P"]),
        (((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0)), ["R", "A"]),
        (((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)), ["R", "P"]),
    ],
    ids=["supine", "prone", "feet first"],
)
def test_a_key_image_says_how_the_patient_lies_in_it(directions: Any, orientation: list[str]) -> None:
    case = a_case(grid=dataclasses.replace(a_grid(), directions=directions))
    page, image, *_ = read(a_request(case))
    assert image.PatientOrientation == orientation
    assert not page.PatientOrientation


def test_no_nodule_found_is_one_page_that_says_so() -> None:
    case = a_case(nodules=())
    (page,) = read(a_request(case))
    assert shows(page.pixel_array, "No nodule found.")
    assert shows(page.pixel_array, RESEARCH_USE)
    assert page.ImageComments == f"No nodule found. {RESEARCH_USE}"
    assert len(page.SourceImageSequence) == 32


def test_a_limited_result_says_what_was_covered() -> None:
    case = a_case(nodules=())
    result = dataclasses.replace(case.result, limits=(Limit(code="lungs.cut", text="the lungs are cut off below"),))
    (page,) = read(a_request(case, result=result))
    assert shows(page.pixel_array, "Limited: the lungs are cut off below.")
    assert "part of the lungs that was covered" in page.ImageComments


def test_not_analysed_is_one_page_that_says_why() -> None:
    request = a_refusal(Reason(code="series.gap", text="2 gaps"), Reason(code="rule.no-match", text="no rule matches"))
    (page,) = read(request)
    for text in ("Not analysed.", "Not analysed: 2 gaps", "Not analysed: no rule matches", "RESEARCH USE ONLY"):
        assert shows(page.pixel_array, text)
    assert "SourceImageSequence" not in page
    (named,) = page.ReferencedImageSequence
    assert named.ReferencedSOPInstanceUID == request.source[0].SOPInstanceUID
    assert page.StudyInstanceUID == STUDY_UID


def test_a_study_without_images_gets_a_page_that_refers_to_none() -> None:
    header = copy.deepcopy(a_refusal().source[0])
    del header.Rows, header.Columns
    (page,) = read(a_refusal(source=(header,)))
    assert "ReferencedSeriesSequence" not in page
    assert not page.get("ReferencedImageSequence")


def test_the_body_part_of_a_study_that_was_not_analysed_is_the_one_that_was_sent() -> None:
    request = a_refusal()
    header = copy.deepcopy(request.source[0])
    header.BodyPartExamined = "HEAD"
    assert read(a_refusal(source=(header,)))[0].BodyPartExamined == "HEAD"
    assert read(request)[0].BodyPartExamined == "CHEST"


def test_the_body_part_of_a_result_is_the_chest_which_has_no_side() -> None:
    pages = read(a_request(a_case(BodyPartExamined="LUNG", Laterality="L")))
    assert {(page.BodyPartExamined, page.get("Laterality")) for page in pages} == {("CHEST", None)}


def test_of_many_nodules_each_has_a_key_image_and_the_page_says_how_many_more() -> None:
    case = a_case([Pear(centre_kji=(10, 20, 20), diameter_mm=8.0)])
    (one,) = case.result.findings
    findings = tuple(dataclasses.replace(one, number=number) for number in range(1, 19))
    pages = read(a_request(case, result=dataclasses.replace(case.result, findings=findings)))
    assert [page.InstanceNumber for page in pages] == list(range(1, 20))
    assert shows(pages[0].pixel_array, "and 3 more, each with a picture of its own")
    assert shows(pages[18].pixel_array, "Nodule 18 of 18")


@pytest.mark.parametrize("number", [None, "", "seven"])
def test_a_ct_without_image_numbers_is_no_obstacle(number: str | None) -> None:
    case = a_case()
    for header in case.source:
        del header.InstanceNumber
        if number is not None:
            header.add_new("InstanceNumber", "LO", number)
    image = read(a_request(case))[1]
    assert "(image" not in image.ImageComments


def test_what_was_lossy_stays_lossy() -> None:
    lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": "8.5"}
    for page in read(a_request(a_case(**lossy))):
        assert (page.LossyImageCompression, page.LossyImageCompressionRatio) == ("01", 8.5)
    assert {page.LossyImageCompression for page in read(a_request(a_case()))} == {"00"}


def test_a_page_of_text_has_lost_nothing() -> None:
    header = copy.deepcopy(a_refusal().source[0])
    header.LossyImageCompression = "01"
    assert read(a_refusal(source=(header,)))[0].LossyImageCompression == "00"


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Øßłđ^Ñandú"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 126", "Διονυσιος"),
        ("ISO_IR 127", "قباني^لنزار"),
    ],
)
def test_patient_and_study_come_through_unchanged(charset: Any, name: str) -> None:
    case = a_case(SpecificCharacterSet=charset, PatientName=name, ReferringPhysicianName="Smith^Anna")
    for page in read(a_request(case)):
        assert str(page.PatientName) == name
        assert page.SpecificCharacterSet == charset
        for keyword in ("PatientID", "IssuerOfPatientID", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber"):
            assert page[keyword].value == case.source[0][keyword].value


def test_nothing_of_the_patient_is_in_the_pixels(pages: list[Dataset]) -> None:
    other = a_case(PatientName="Other^Name", PatientID="OTHER", PatientBirthDate="20000101", StudyDate="20200101")
    for page, same in zip(pages, read(a_request(other)), strict=True):
        assert page.PixelData == same.PixelData


def test_the_flags_tell_of_burned_in_text_and_of_no_face(pages: list[Dataset]) -> None:
    assert {page.BurnedInAnnotation for page in pages} == {"NO"}
    assert {page.RecognizableVisualFeatures for page in pages} == {"NO"}


def test_all_times_are_those_of_the_request(pages: list[Dataset]) -> None:
    day, time = COMPOSED_AT.astimezone().strftime("%Y%m%d"), COMPOSED_AT.astimezone().strftime("%H%M%S")
    for page in pages:
        for kind in ("Content", "InstanceCreation"):
            assert (page[f"{kind}Date"].value, page[f"{kind}Time"].value) == (day, time)
        assert (page.DateOfSecondaryCapture, page.TimeOfSecondaryCapture) == (day, time)


def test_the_same_request_gives_the_same_bytes(documents: list[Document]) -> None:
    again = list(captures(a_request(a_case())))
    assert [as_bytes(document.dataset) for document in documents] == [as_bytes(dataset) for dataset in again]


def test_other_models_make_another_series(pages: list[Dataset]) -> None:
    other = read(a_request(a_case(), identity=an_identity(input_digest="01ff")))
    assert {page.SOPInstanceUID for page in pages}.isdisjoint({page.SOPInstanceUID for page in other})
    assert pages[0].SeriesInstanceUID != other[0].SeriesInstanceUID


GRIDS = {
    "feet to head": a_grid(),
    "head to feet": dataclasses.replace(a_grid(), directions=((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))),
    "more columns than rows": a_grid((32, 64, 90)),
    "tall pixels": dataclasses.replace(a_grid(), spacing_mm=(1.25, 1.1, 0.7)),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_mark_beside_the_nodule_shows_at_its_place_and_on_its_slice_only(grid: Grid) -> None:
    """A mark 8 rows below and 12 columns to the right of the middle of the long axis, by hand in the picture:

    the middle lies at (384, 60 + 300), and 36 mm, or three long axes, are 600 pixels.
    """
    case = a_case([Pear(centre_kji=(10.0, 22.0, 30.0), diameter_mm=6.0)], grid)
    (finding,) = case.result.findings
    k, ends = finding.long_axis.slice_k, np.asarray(finding.long_axis.ends_ji)
    row, column = (int(middle) for middle in ends.mean(axis=0))
    marked = {at: case.volume_hu.copy() for at in (k, k + 1)}
    for at, volume_hu in marked.items():
        volume_hu[at, row + 8, column + 12] = 400
    scale = 600 / max(36.0, 3 * finding.long_axis.length_mm)
    down, right = (np.array((row + 8, column + 12)) - ends.mean(axis=0)) * grid.spacing_mm[1:] * scale
    pictures = {
        at: read(a_request(dataclasses.replace(case, volume_hu=hu)))[1].pixel_array for at, hu in marked.items()
    }
    for vertical, horizontal in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        y, x = round(360 + vertical * down), round(384 + horizontal * right)
        assert (pictures[k][y, x].min() > 200) == (vertical == horizontal == 1)
        assert pictures[k + 1][y, x].max() < 150
