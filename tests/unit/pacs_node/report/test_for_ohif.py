"""What a report does only because OHIF 3.13 shows nothing, or less, without it."""

from __future__ import annotations

import dataclasses

import pytest
from pydicom.dataset import Dataset

from pacs_node.report import ReportRequest, compose
from pacs_node.report.check.document import document_problems
from pacs_node.report.check.tree import read_tree
from tests.support.results import a_case, a_refusal, a_request

IMAGING_MEASUREMENT_REPORT, ONCOLOGY_MEASUREMENT_REPORT = "126000", "126001"


def _negative() -> ReportRequest:
    request = a_request(a_case())
    assert request.result is not None
    return dataclasses.replace(request, result=dataclasses.replace(request.result, findings=()))


def _report(request: ReportRequest) -> Dataset:
    return next(document.dataset for document in compose(request) if document.dataset.Modality == "SR")


def _title(report: Dataset) -> str:
    return str(report.ConceptNameCodeSequence[0].CodeValue)


def test_a_report_with_nodules_has_the_title_that_viewers_draw() -> None:
    assert _title(_report(a_request(a_case()))) == IMAGING_MEASUREMENT_REPORT


@pytest.mark.parametrize("request_", [_negative(), a_refusal()], ids=["no nodule", "not analysed"])
def test_a_report_without_nodules_has_a_title_that_viewers_show_as_text(request_: ReportRequest) -> None:
    assert _title(_report(request_)) == ONCOLOGY_MEASUREMENT_REPORT


@pytest.mark.parametrize("request_", [a_request(a_case()), _negative(), a_refusal()], ids=["nodules", "none", "not"])
def test_the_check_takes_the_title_that_fits_and_no_other(request_: ReportRequest) -> None:
    report = _report(request_)
    complaint = "The root is not a report of TID 1500 under the title that viewers need."
    assert complaint not in [problem.text for problem in document_problems(report, read_tree(report))]
    right = _title(report)
    wrong = {IMAGING_MEASUREMENT_REPORT, ONCOLOGY_MEASUREMENT_REPORT} - {right}
    report.ConceptNameCodeSequence[0].CodeValue = wrong.pop()
    assert complaint in [problem.text for problem in document_problems(report, read_tree(report))]


def test_the_probabilities_are_among_the_five_values_beside_the_axes() -> None:
    report = _report(a_request(a_case()))
    containers = [item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010"]
    group = containers[0].ContentSequence[0]
    numbers = [item for item in group.ContentSequence if item.ValueType == "NUM"]
    meanings = [str(item.ConceptNameCodeSequence[0].CodeMeaning) for item in numbers]
    assert meanings[:4] == ["Volume", "Diameter", "Certainty of Finding", "Probability of cancer"]
