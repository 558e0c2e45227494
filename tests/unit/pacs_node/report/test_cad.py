"""Chest CAD SRs, read back from their bytes and walked with pydicom alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from inference.findings import CroppedMask, Finding
from pacs_node.report import Document, ReportRequest, compose
from pacs_node.report.check import check
from tests.support.results import (
    Case,
    a_case,
    a_finding,
    a_refusal,
    a_request,
    an_enhanced_source,
    an_identity,
    as_bytes,
    options,
    read_back,
)

WITH_CAD = options(objects=frozenset({"seg", "cad"}))


def written(request: ReportRequest) -> dict[str, Document]:
    return {str(document.role): document for document in compose(dataclasses.replace(request, options=WITH_CAD))}


def read(request: ReportRequest) -> Dataset:
    (report,) = read_back([written(request)["cad"]])
    return report


@pytest.fixture(scope="module")
def case() -> Case:
    return a_case()


@pytest.fixture(scope="module")
def report(case: Case) -> Dataset:
    return read(a_request(case))


def children(item: Dataset, meaning: str) -> list[Dataset]:
    """The items right below one that have a name of this meaning."""
    return [child for child in item.ContentSequence if name(child) == meaning]


def child(item: Dataset, meaning: str) -> Dataset:
    (found,) = children(item, meaning)
    return found


def name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning) if "ConceptNameCodeSequence" in item else ""


def value(item: Dataset) -> tuple[str, str]:
    return item.ConceptCodeSequence[0].CodeValue, item.ConceptCodeSequence[0].CodeMeaning


def number(item: Dataset) -> tuple[float, str]:
    measured = item.MeasuredValueSequence[0]
    return float(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue


def everything(item: Dataset) -> Iterator[Dataset]:
    for below in item.get("ContentSequence", ()):
        yield below
        yield from everything(below)


def marks(report: Dataset) -> list[Dataset]:
    return children(child(report, "CAD Processing and Findings Summary"), "Single Image Finding")


def test_the_root_is_a_chest_cad_report(report: Dataset) -> None:
    assert report.SOPClassUID == report.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.88.65"
    assert report.ConceptNameCodeSequence[0].CodeValue == "112000"
    template = report.ContentTemplateSequence[0]
    assert (template.MappingResource, template.TemplateIdentifier) == ("DCMR", "4100")
    assert [(item.RelationshipType, name(item)) for item in report.ContentSequence] == [
        ("HAS CONCEPT MOD", "Language of Content Item and Descendants"),
        ("CONTAINS", "CAD Processing and Findings Summary"),
        ("CONTAINS", "Summary of Detections"),
        ("CONTAINS", "Summary of Analyses"),
    ]


@pytest.mark.parametrize(
    ("kind", "summary", "detections"),
    [
        ("positive", "111242", "111222"),  # all algorithms succeeded; with findings; succeeded
        ("negative", "111241", "111222"),  # all algorithms succeeded; without findings
        ("not analysed", "111245", "111224"),  # no algorithms succeeded; without findings; failed
    ],
)
def test_the_summaries_say_what_came_of_it(kind: str, summary: str, detections: str) -> None:
    requests: dict[str, Any] = {
        "positive": lambda: a_request(a_case()),
        "negative": lambda: a_request(a_case(nodules=())),
        "not analysed": a_refusal,
    }
    report = read(requests[kind]())
    assert value(child(report, "CAD Processing and Findings Summary"))[0] == summary
    assert value(child(report, "Summary of Detections"))[0] == detections
    assert value(child(report, "Summary of Analyses")) == ("111225", "Not Attempted")
    container = child(report, "Summary of Detections").ContentSequence[0]
    assert name(container) == ("Failed Detections" if kind == "not analysed" else "Successful Detections")
    assert value(child(container, "Detection Performed")) == ("27925004", "Nodule")
    if kind != "positive":
        assert "ContentSequence" not in child(report, "CAD Processing and Findings Summary")


def test_every_nodule_is_an_opacity_that_has_to_be_shown(case: Case, report: Dataset) -> None:
    assert len(marks(report)) == len(case.result.findings)
    for mark in marks(report):
        assert (mark.RelationshipType, value(mark)) == ("INFERRED FROM", ("112033", "Abnormal opacity"))
        assert value(child(mark, "Single Image Finding Modifier")) == ("27925004", "Nodule")
        assert value(child(mark, "Rendering Intent"))[0] == "111150"


def test_relations_are_those_of_the_template(case: Case) -> None:
    (mark,) = marks(read(a_request(with_pixels(case, "###", "##."))))
    assert [(item.RelationshipType, name(item)) for item in mark.ContentSequence] == [
        ("HAS CONCEPT MOD", "Single Image Finding Modifier"),
        ("HAS CONCEPT MOD", "Rendering Intent"),
        ("HAS OBS CONTEXT", "Tracking Identifier"),
        ("HAS OBS CONTEXT", "Tracking Unique Identifier"),
        ("HAS OBS CONTEXT", "Algorithm Name"),
        ("HAS OBS CONTEXT", "Algorithm Version"),
        ("HAS OBS CONTEXT", "Algorithm Manufacturer"),
        ("HAS OBS CONTEXT", "Algorithm Family"),
        ("HAS PROPERTIES", "Certainty of Finding"),
        ("HAS PROPERTIES", "Probability of cancer"),
        ("HAS PROPERTIES", "Center"),
        ("HAS PROPERTIES", "Outline"),
        ("HAS PROPERTIES", "Long Axis"),
        ("HAS PROPERTIES", "Short Axis"),
        ("HAS PROPERTIES", "Volume"),
    ]


def test_nodules_are_tracked_as_in_the_seg(case: Case) -> None:
    seg, _, report = read_back(list(written(a_request(case)).values()))
    for segment, mark in zip(seg.SegmentSequence, marks(report), strict=True):
        assert child(mark, "Tracking Identifier").TextValue == segment.TrackingID
        assert segment.TrackingUID == child(mark, "Tracking Unique Identifier").UID


def test_certainty_probability_and_size_are_those_of_the_finding(case: Case, report: Dataset) -> None:
    for finding, mark in zip(case.result.findings, marks(report), strict=True):
        assert number(child(mark, "Certainty of Finding")) == (90.0, "%")
        assert number(child(mark, "Probability of cancer")) == (25.0, "%")
        assert number(child(mark, "Long Axis")) == (round(finding.long_axis.length_mm, 1), "mm")
        assert number(child(mark, "Short Axis")) == (round(finding.short_axis.length_mm, 1), "mm")
        assert number(child(mark, "Volume")) == (round(finding.volume_mm3, 1), "mm3")


def test_a_nodule_that_nobody_rated_has_no_probability(case: Case) -> None:
    mine = with_finding(case, dataclasses.replace(case.result.findings[0], malignancy=None))
    assert children(marks(read(a_request(mine)))[0], "Probability of cancer") == []


def with_finding(case: Case, finding: Finding) -> Case:
    return dataclasses.replace(case, result=dataclasses.replace(case.result, findings=(finding,)))


def with_pixels(case: Case, *rows: str) -> Case:
    """The case with one finding in slice 5, its first pixel at row 40 and column 10."""
    mask = np.zeros(case.result.grid.shape_kji, bool)
    mask[5, 40 : 40 + len(rows), 10 : 10 + len(rows[0])] = [[mark == "#" for mark in row] for row in rows]
    return with_finding(case, a_finding(case.result.grid, case.volume_hu, mask, 1))


def test_marks_are_drawn_as_column_and_row_from_the_corner_of_the_first_pixel(case: Case) -> None:
    """PS3.3 C.18.6: the upper left corner of the first pixel is 0, 0. Pixels of rows 40 and 41, columns 10 to 12."""
    (mark,) = marks(read(a_request(with_pixels(case, "##.", ".##"))))
    centre, outline = child(mark, "Center"), child(mark, "Outline")
    assert (centre.GraphicType, outline.GraphicType) == ("POINT", "POLYLINE")
    assert centre.GraphicData == [11.5, 41.0]
    corners = [(10, 40), (12, 40), (12, 41), (13, 41), (13, 42), (11, 42), (11, 41), (10, 41), (10, 40)]
    assert np.array(outline.GraphicData).reshape(-1, 2).tolist() == [list(corner) for corner in corners]


def test_an_outline_that_one_line_cannot_draw_is_left_out(case: Case) -> None:
    (mark,) = marks(read(a_request(with_pixels(case, "##..#", "##...", "#####"))))
    assert children(mark, "Outline") == []
    assert len(children(mark, "Center")) == 1


def test_lines_and_points_name_the_slice_that_they_lie_on(case: Case) -> None:
    mine = with_pixels(case, "###", "##.")
    for finding, mark in zip(mine.result.findings, marks(read(a_request(mine))), strict=True):
        drawn = [item for item in everything(mark) if item.ValueType == "SCOORD"]
        assert [name(item) for item in drawn] == ["Center", "Outline", "Path", "Path"]
        for item in drawn:
            (image,) = item.ContentSequence
            assert (image.RelationshipType, image.ValueType, name(image)) == ("SELECTED FROM", "IMAGE", "")
            expected = case.source[finding.long_axis.slice_k].SOPInstanceUID
            assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == expected


def test_frames_of_an_enhanced_ct_are_named(case: Case) -> None:
    instance, frame_numbers = an_enhanced_source(case)
    report = read(a_request(case, source=(instance,), frame_numbers=frame_numbers))
    for finding, mark in zip(case.result.findings, marks(report), strict=True):
        image = child(mark, "Center").ContentSequence[0].ReferencedSOPSequence[0]
        assert image.ReferencedSOPInstanceUID == instance.SOPInstanceUID
        assert image.ReferencedFrameNumber == frame_numbers[finding.long_axis.slice_k]


def test_it_says_which_images_were_looked_at_by_what(case: Case, report: Dataset) -> None:
    detection = child(child(report, "Summary of Detections").ContentSequence[0], "Detection Performed")
    assert child(detection, "Algorithm Name").TextValue == "PulmoNode jnsc"
    assert child(detection, "Algorithm Version").TextValue == "jnsc 3"
    images = [item.ReferencedSOPSequence[0] for item in detection.ContentSequence if item.ValueType == "IMAGE"]
    expected = {header.SOPInstanceUID for header in case.source}
    assert {image.ReferencedSOPInstanceUID for image in images} == expected
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    listed = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert {item.ReferencedSOPInstanceUID for item in listed} == expected


def test_no_person_verified_it_and_patient_and_series_are_right(case: Case, report: Dataset) -> None:
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert (report.Modality, report.SeriesNumber) == ("SR", 921)
    assert "research use" in report.SeriesDescription
    assert report.PatientName == "Müller^Jörg"
    assert (report.ContentDate, report.ContentTime) == ("20260304", "050607")


def test_it_names_the_one_that_it_takes_the_place_of(case: Case) -> None:
    before = read_back(list(written(a_request(case)).values()))
    again = read(a_request(case, identity=an_identity(input_digest="01"), predecessor=tuple(before)))
    (study,) = again.PredecessorDocumentsSequence
    (item,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID == before[-1].SOPInstanceUID


@pytest.mark.parametrize("kind", ["positive", "negative", "not analysed", "hollow", "apart"])
def test_the_own_check_has_nothing_to_say(case: Case, kind: str) -> None:
    requests = {
        "positive": lambda: a_request(case),
        "negative": lambda: a_request(a_case(nodules=())),
        "not analysed": a_refusal,
        "hollow": lambda: a_request(with_pixels(case, "####", "#..#", "####")),
        "apart": lambda: a_request(with_pixels(case, "##..#", "##...", "#####")),
    }
    request = requests[kind]()
    documents = read_back(list(written(request).values()))
    assert "1.2.840.10008.5.1.4.1.1.88.65" in [document.SOPClassUID for document in documents]
    assert check(request.source, documents) == ()


def test_the_same_request_gives_the_same_bytes(case: Case) -> None:
    one, other = (as_bytes(written(a_request(case))["cad"].dataset) for _ in range(2))
    assert one == other


def test_nobody_gets_one_who_does_not_ask(case: Case) -> None:
    assert "cad" not in [document.role for document in compose(a_request(case))]


def test_a_mask_on_the_last_slice_is_outlined_too(case: Case) -> None:
    last = case.result.grid.shape_kji[0] - 1
    mask = CroppedMask(start_kji=(last, 10, 10), voxels=np.ones((1, 2, 2), bool))
    axis = dataclasses.replace(case.result.findings[0].long_axis, slice_k=last)
    finding = dataclasses.replace(case.result.findings[0], mask=mask, long_axis=axis)
    (mark,) = marks(read(a_request(with_finding(case, finding))))
    assert child(mark, "Center").GraphicData == [11.0, 11.0]
