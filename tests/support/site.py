"""A site's own cases as its PACS keeps them: CTs with two dense shapes in lung each, and the segmentation of these."""

from __future__ import annotations

from pathlib import Path

from pacs_node.report import compose
from tests.support.results import a_request, as_bytes, balls_hu, case_from_files
from tests.support.series import a_series


def site_cases(folder: Path, patients: int, *, name: str = "SITE") -> Path:
    """One CT of each patient, `name`-1 and so on, with the node's segmentation of its two nodules beside it."""
    for number in range(1, patients + 1):
        site_case(folder / str(number), f"{name}-{number}")
    return folder


def site_case(folder: Path, patient_id: str) -> Path:
    """The CT and segmentation of one patient."""
    files = a_series(folder / "ct", hu=balls_hu, slices=24, size=(64, 64), study=patient_id, PatientID=patient_id)
    case, _ = case_from_files(files)
    (folder / "seg.dcm").write_bytes(as_bytes(compose(a_request(case))[0].dataset))
    return folder
