"""A newer result rejects the one before, for archives that know what to do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from pacs_node.domain.document import CLASS_UID, DocumentRole
from pacs_node.report import ReportRequest, compose
from tests.support.results import a_case, a_request, an_identity, options, read_back
from tests.support.validators import beside_python, ran

EVERYTHING = frozenset(DocumentRole)


def _superseding(**header: Any) -> tuple[ReportRequest, list[Dataset]]:
    """A request, and the documents of the result that it supersedes."""
    case = a_case(**header)
    before = read_back(compose(a_request(case, identity=an_identity(input_digest="01"))))
    return a_request(case, predecessor=tuple(before), options=options(objects=EVERYTHING)), before


def _note(request: ReportRequest) -> Dataset:
    (document,) = [document for document in compose(request) if document.role is DocumentRole.REJECTION]
    return read_back([document])[0]


def test_it_names_every_document_of_the_earlier_result() -> None:
    request, before = _superseding()
    note = _note(request)
    assert note.SOPClassUID == CLASS_UID[DocumentRole.REJECTION]
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    named = {
        (item.ValueType, *_named(item.ReferencedSOPSequence[0]))
        for item in note.ContentSequence
        if "ReferencedSOPSequence" in item
    }
    kinds = {"SEG": "IMAGE", "SR": "COMPOSITE"}
    assert named == {(kinds[item.Modality], item.SOPClassUID, item.SOPInstanceUID) for item in before}
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    listed = {
        (s.SeriesInstanceUID, *_named(i)) for s in study.ReferencedSeriesSequence for i in s.ReferencedSOPSequence
    }
    assert listed == {(item.SeriesInstanceUID, item.SOPClassUID, item.SOPInstanceUID) for item in before}


def test_it_is_of_the_same_patient_and_study() -> None:
    request, _ = _superseding(SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Jörg")
    note = _note(request)
    assert (str(note.PatientName), note.StudyInstanceUID) == ("Müller^Jörg", request.source[0].StudyInstanceUID)


def test_a_result_without_a_predecessor_rejects_nothing() -> None:
    documents = compose(a_request(a_case(), options=options(objects=EVERYTHING)))
    assert DocumentRole.REJECTION not in {document.role for document in documents}


def test_it_is_written_only_where_it_is_wanted() -> None:
    request, before = _superseding()
    plain = a_request(a_case(), predecessor=tuple(before))
    assert DocumentRole.REJECTION in {document.role for document in compose(request)}
    assert DocumentRole.REJECTION not in {document.role for document in compose(plain)}


def test_another_predecessor_makes_another_note() -> None:
    request, before = _superseding()
    fewer = a_request(a_case(), predecessor=tuple(before[:1]), options=request.options)
    assert _note(fewer).SOPInstanceUID != _note(request).SOPInstanceUID
    assert _note(request) == _note(request)


@pytest.mark.services
def test_dciodvfy_has_nothing_to_say_about_it(tmp_path: Path) -> None:
    request, _ = _superseding()
    path = tmp_path / "note.dcm"
    _note(request).save_as(path, enforce_file_format=True)
    said = ran(beside_python("dciodvfy"), str(path))
    assert [line for line in said.splitlines() if line.startswith(("Error", "Warning"))] == []


def _named(item: Dataset) -> tuple[str, str]:
    return item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID
