"""What a result says in words, and that words, codes and numbers say the same."""

from __future__ import annotations

import dataclasses

import pytest
from pydicom.dataset import Dataset

from inference.findings import Attenuation, Axis, Limit
from pacs_node.report import ReportRequest, compose, wording
from pacs_node.report.check import check
from tests.support.results import NODULES, Case, a_case, a_refusal, a_request, read_back

TOP = Limit(code="lungs.cut-at-top", text="only part of the lungs was covered: 201 cm2")
BASE = Limit(code="lungs.cut-at-base", text="only part of the lungs was covered: 99 cm2")


def limited(case: Case, *limits: Limit) -> ReportRequest:
    return a_request(case, result=dataclasses.replace(case.result, limits=limits))


@pytest.mark.parametrize(
    ("nodules", "limits", "sentence"),
    [
        (0, (), "No nodule found."),
        (1, (), "1 nodule found."),
        (2, (), "2 nodules found."),
        (0, (TOP,), "No nodule found in the part of the lungs that was covered."),
        (1, (TOP, BASE), "1 nodule found in the part of the lungs that was covered."),
        (2, (BASE,), "2 nodules found in the part of the lungs that was covered."),
    ],
)
def test_the_answer_is_one_sentence_that_says_no_more_than_was_covered(
    nodules: int, limits: tuple[Limit, ...], sentence: str
) -> None:
    assert wording.headline(limited(a_case(NODULES[:nodules]), *limits)) == sentence


def test_a_study_that_was_not_analysed_says_so_first() -> None:
    assert wording.headline(a_refusal()) == "Not analysed."


@pytest.mark.parametrize("nodules", [0, 2])
def test_a_limited_study_says_so_in_codes_and_in_words(nodules: int) -> None:
    request = limited(a_case(NODULES[:nodules]), TOP, BASE)
    documents = read_back(compose(request))
    report = documents[-1]
    assert check(request.source, documents, None) == ()
    assert _coded(report) >= {
        ("130550", "130576", "DCM"),  # Imaging Series Quality = Anatomy coverage incomplete
        ("LIMIT", "lungs.cut-at-top", "99PULMONODE"),
        ("LIMIT", "lungs.cut-at-base", "99PULMONODE"),
    }
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99PULMONODE"
    words = _words(report)
    assert words[0] == wording.headline(request)
    assert {f"Limited: {TOP.text}.", f"Limited: {BASE.text}."} <= set(words)


def test_a_study_with_whole_lungs_has_no_private_code_and_no_word_of_limits() -> None:
    report = read_back(compose(a_request(a_case())))[-1]
    assert {name for name, _, _ in _coded(report)} == {"27925004"}  # Nodule
    assert "CodingSchemeIdentificationSequence" not in report
    assert not any("covered" in word for word in _words(report))


def test_a_nodule_in_one_line() -> None:
    finding = dataclasses.replace(
        a_case().result.findings[0],
        long_axis=Axis(length_mm=9.14, slice_k=3, ends_ji=((0, 0), (0, 13))),
        short_axis=Axis(length_mm=6.06, slice_k=3, ends_ji=((0, 0), (0, 9))),
        equivalent_diameter_mm=7.456,
        volume_mm3=217.04,
        attenuation=Attenuation.PART_SOLID,
        mean_hu=-120.26,
        score=0.914,
        malignancy=0.25,
    )
    assert _line_of(finding) == (
        "Nodule 1: right lung, 9.1 x 6.1 mm (long x short axis), diameter 7.5 mm, volume 217.0 mm3, "
        "part-solid, mean -120.3 HU, certainty 91.4 %, probability of cancer 25.0 %."
    )


def test_what_is_not_known_of_a_nodule_is_not_said() -> None:
    line = _line_of(dataclasses.replace(a_case().result.findings[0], laterality=None, malignancy=None))
    assert line.startswith("Nodule 1: near the midline, ")
    assert "cancer" not in line
    assert "None" not in line


def test_every_nodule_has_its_line_in_the_report_with_the_numbers_of_its_groups() -> None:
    report = read_back(compose(a_request(a_case())))[-1]
    lines = [word for word in _words(report) if word.startswith("Nodule ")]
    numbers = _numbers(report)
    assert len(lines) == 2
    assert len(numbers) == 2 * (5 + 2)
    for place, number in enumerate(numbers):
        assert f" {number} " in lines[place // 7]


def test_a_line_of_a_nodule_is_a_finding_and_not_a_number() -> None:
    """Viewers drop numbers with something below them; text beside the groups is shown by all."""
    report = read_back(compose(a_request(a_case())))[-1]
    names = {
        i.ConceptNameCodeSequence[0].CodeMeaning for i in _statements(report) if "Nodule 1" in i.get("TextValue", "")
    }
    assert names == {"Finding"}


def _line_of(finding: object) -> str:
    case = a_case()
    (line,) = wording.finding_lines(a_request(case, result=dataclasses.replace(case.result, findings=(finding,))))
    return line


def _numbers(report: Dataset) -> list[str]:
    """The value of every measurement as written but the spread of HU: of each nodule five, then its two axes."""
    (container,) = (i for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "126010")
    items = [item for group in container.ContentSequence for item in group.ContentSequence if item.ValueType == "NUM"]
    said = [item for item in items if item.ConceptNameCodeSequence[0].CodeValue != "112183"]
    return [f"{float(item.MeasuredValueSequence[0].NumericValue):.1f}" for item in said]


def _coded(report: Dataset) -> set[tuple[str, str, str]]:
    coded = [item for item in _statements(report) if item.ValueType == "CODE"]
    values = [(i.ConceptNameCodeSequence[0].CodeValue, i.ConceptCodeSequence[0]) for i in coded]
    return {(name, v.get("CodeValue") or v.LongCodeValue, v.CodingSchemeDesignator) for name, v in values}


def _words(report: Dataset) -> list[str]:
    return [item.TextValue for item in _statements(report) if item.ValueType == "TEXT"]


def _statements(report: Dataset) -> list[Dataset]:
    (container,) = (i for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "C0034375")
    return list(container.ContentSequence)
