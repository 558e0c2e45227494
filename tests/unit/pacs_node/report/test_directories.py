"""Folders of results against folders of CTs, files and all."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from pacs_node.domain.document import DocumentRole
from pacs_node.report import Document, compose
from pacs_node.report.check import Problem, check_directories
from tests.support.results import (
    A_MODEL,
    WITH_LUNGS,
    a_request,
    an_identity,
    as_bytes,
    balls_hu,
    case_from_files,
    options,
)
from tests.support.series import AXIAL, a_series

Roles = frozenset[DocumentRole]
IMAGES: Roles = frozenset({DocumentRole.CAPTURES})
EVERYTHING: Roles = frozenset(DocumentRole)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """A CT and its result, in folders of their own."""

    ct: Path
    result: Path
    documents: dict[str, Dataset]

    def save(self) -> None:
        """Write the documents again."""
        for name, document in self.documents.items():
            (self.result / name).write_bytes(as_bytes(document))

    def check(self) -> tuple[Problem, ...]:
        """What `pulmonode result check` would say."""
        return check_directories(self.ct, self.result)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return _folders(tmp_path)


def _folders(tmp_path: Path, *, objects: Roles = WITH_LUNGS, **series: object) -> Folders:
    case, frame_numbers = case_from_files(a_series(tmp_path / "ct", hu=balls_hu, slices=24, **series))  # type: ignore[arg-type]
    assert len(case.result.findings) == 2
    documents = compose(a_request(case, frame_numbers=frame_numbers, options=options(objects=objects)))
    folders = Folders(
        ct=tmp_path / "ct",
        result=tmp_path / "result",
        documents={_name(document): copy.deepcopy(document.dataset) for document in documents},
    )
    folders.result.mkdir()
    folders.save()
    return folders


def _name(document: Document) -> str:
    return f"{document.role}.dcm" if document.number == 1 else f"{document.role}-{document.number}.dcm"


@pytest.mark.parametrize("name", AXIAL)
def test_right_results_of_any_axial_orientation_pass(name: str, tmp_path: Path) -> None:
    assert _folders(tmp_path, orientation=AXIAL[name]).check() == ()


def test_a_right_result_of_an_enhanced_ct_passes(tmp_path: Path) -> None:
    assert _folders(tmp_path, enhanced=True).check() == ()


def test_a_mistake_is_told_with_the_name_of_the_file(folders: Folders) -> None:
    folders.documents["sr.dcm"].VerificationFlag = "VERIFIED"
    folders.save()
    (problem,) = folders.check()
    assert problem.code == "sr.document"
    assert problem.text.startswith("sr.dcm: ")


def test_values_are_compared_with_the_pixels_on_disk(folders: Folders) -> None:
    """One slice of the CT gets other pixels: the report's attenuation is no longer that of the segment."""
    case, _ = case_from_files(sorted(folders.ct.iterdir()))
    k = case.result.findings[0].long_axis.slice_k
    path = next(path for path in folders.ct.iterdir() if case.source[k].SOPInstanceUID.encode() in path.read_bytes())
    path.write_bytes(path.read_bytes()[:-8192] + np.full(4096, 900, "<i2").tobytes())
    assert {problem.code for problem in folders.check()} >= {"sr.values"}


def test_pixels_that_cannot_be_read_are_told_and_the_rest_is_still_checked(folders: Folders) -> None:
    path = sorted(folders.ct.iterdir())[3]
    path.write_bytes(path.read_bytes()[:-100])
    folders.documents["sr.dcm"].VerificationFlag = "VERIFIED"
    folders.save()
    assert [problem.code for problem in folders.check()] == ["source.pixels", "sr.document"]


def test_whatever_else_lies_beside_them_is_left_out(folders: Folders) -> None:
    for folder in (folders.ct, folders.result):
        (folder / "notes.txt").write_text("no DICOM")
        (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert folders.check() == ()


def test_a_seg_that_no_report_lists_is_told(folders: Folders) -> None:
    (folders.result / "sr.dcm").unlink()
    assert {problem.text for problem in folders.check()} == {
        "There is no report.",
        "seg.dcm: No report lists this SEG.",
        "lungs.dcm: It was made along with no report or secondary capture.",
    }


def test_a_report_whose_seg_is_missing_is_told(folders: Folders) -> None:
    (folders.result / "seg.dcm").unlink()
    assert {problem.code for problem in folders.check()} >= {"sr.evidence", "sr.groups"}


def test_a_result_of_another_ct_is_told(folders: Folders, tmp_path: Path) -> None:
    a_series(tmp_path / "other", slices=24, study="2")
    assert {problem.code for problem in check_directories(tmp_path / "other", folders.result)} == {"source.missing"}


def test_a_slice_that_is_gone_is_told(folders: Folders) -> None:
    sorted(folders.ct.iterdir())[3].unlink()
    assert "sr.evidence" in {problem.code for problem in folders.check()}


def test_images_without_a_report_pass_where_a_destination_wants_no_more(tmp_path: Path) -> None:
    folders = _folders(tmp_path, objects=IMAGES)
    for name in ("sr.dcm", "seg.dcm"):
        (folders.result / name).unlink()
    assert folders.check() == ()


def test_a_mistake_in_images_without_a_report_is_told(tmp_path: Path) -> None:
    folders = _folders(tmp_path, objects=IMAGES)
    for name in ("sr.dcm", "seg.dcm"):
        (folders.result / name).unlink()
    capture = folders.documents.pop("captures-2.dcm")
    capture.PatientID = "PAT-8"
    (folders.result / "captures-2.dcm").write_bytes(as_bytes(capture))
    assert [(problem.code, problem.text.split(":")[0]) for problem in folders.check()] == [
        ("id.patient_study", "captures-2.dcm")
    ]


def test_two_results_of_one_ct_are_told_apart(tmp_path: Path) -> None:
    """Captures and presentation states name no report; what was made along with them does."""
    folders = _folders(tmp_path, objects=EVERYTHING)
    case, _ = case_from_files(sorted(folders.ct.iterdir()))
    other = dataclasses.replace(A_MODEL, version=4)
    result = dataclasses.replace(case.result, models=(other,), findings=case.result.findings[:1])
    request = a_request(case, result=result, identity=an_identity((other,)), options=options(objects=EVERYTHING))
    for document in compose(request):
        path = folders.result / f"other-{document.role}-{document.number}.dcm"
        path.write_bytes(as_bytes(document.dataset))
    assert folders.check() == ()
