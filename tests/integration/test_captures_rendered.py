"""Pictures and presentation states in the eyes of DCMTK: dcmj2pnm, dcmpschk and dcmp2pgm; and of dciodvfy."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless
from skimage.draw import polygon2mask

from pacs_node.report import ReportRequest, compose
from tests.support.pictures import shows
from tests.support.requests import REAL, of_the_phantom
from tests.support.results import a_refusal, a_request, air_hu, balls_hu, case_from_files, options
from tests.support.series import a_series
from tests.support.validators import beside_python, complaints, installed, ran

pytestmark = pytest.mark.services

ONLY = options(objects=frozenset({"captures", "presentation"}))
NAMELESS = "W: patientName absent or empty in presentation state"
"""DCMTK wants a value, although Patient Name is of type 2 (PS3.3 C.7.1.1) and de-identified CTs have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was asked for, and its pictures and presentation states on disk."""

    request: ReportRequest
    captures: list[Path]
    states: list[Path]


def _balls(folder: Path, *, enhanced: bool) -> ReportRequest:
    ct = a_series(folder, hu=balls_hu, slices=20, size=(72, 64), rescale=(0.5, -1024.0), enhanced=enhanced)
    case, frame_numbers = case_from_files(ct)
    return a_request(case, frame_numbers=frame_numbers)


CTS: dict[str, Callable[[Path], ReportRequest]] = {
    "single-frame": partial(_balls, enhanced=False),
    "Enhanced": partial(_balls, enhanced=True),
    "of the phantom": of_the_phantom,
}


@pytest.fixture(
    scope="module",
    params=[*CTS, *(pytest.param(name, marks=[pytest.mark.data, pytest.mark.slow]) for name in REAL)],
)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("rendered")
    asked = dataclasses.replace((CTS | REAL)[request.param](folder / "ct"), options=ONLY)
    for header in asked.source:
        header.PatientName = header.PatientName or "NAMELESS"  # see above
    files = _saved(asked, folder)
    return Written(request=asked, captures=files["captures"], states=files["presentation"])


def test_dcmtk_shows_every_picture_pixel_for_pixel(written: Written, tmp_path: Path) -> None:
    findings = written.request.findings
    assert len(written.captures) == 1 + len(findings)
    for path in written.captures:
        shown = _shown(path, tmp_path)
        assert (shown == dcmread(path).pixel_array).all()
        assert shows(shown, "RESEARCH USE ONLY")
    for finding, path in zip(findings, written.captures[1:], strict=True):
        shown, axes = _shown(path, tmp_path), (finding.long_axis, finding.short_axis)
        assert shows(shown, f"Nodule {finding.number} of {len(findings)}")
        assert shows(shown, f"{axes[0].length_mm:.1f} x {axes[1].length_mm:.1f} mm")


def test_dcmtk_finds_nothing_wrong_with_the_presentation_state(written: Written) -> None:
    assert len(written.states) == bool(written.request.findings)
    for state in written.states:
        output = ran(installed("dcmpschk"), "-v", str(state))
        assert "Test passed." in output
        assert complaints(output.replace("W: Testing:", "").replace("W: Test passed.", "")) == []


def test_dcmtk_asks_for_no_more_than_a_name_of_a_patient_without_one(tmp_path: Path) -> None:
    case, _ = case_from_files(a_series(tmp_path / "ct", hu=balls_hu, slices=20, PatientName=""))
    (state,) = _saved(a_request(case, options=ONLY), tmp_path)["presentation"]
    said = complaints(ran(installed("dcmpschk"), str(state)))
    assert [line for line in said if "Test" not in line] == [NAMELESS]


def test_dcmtk_draws_the_outlines_around_the_masks_and_shows_the_lung_window(written: Written, tmp_path: Path) -> None:
    """On every slice; -1350 to 150 HU are 0 to 255."""
    for state in written.states:
        assert written.request.volume is not None
        volume_hu, listed = written.request.volume.volume_hu, _listed(dcmread(state))
        masks = {finding.number: np.zeros(volume_hu.shape, bool) for finding in written.request.findings}
        for finding in written.request.findings:
            masks[finding.number][finding.mask.box] = finding.mask.voxels
        occupied = [k for k in range(len(volume_hu)) if any(mask[k].any() for mask in masks.values())]
        assert len(listed) == len(occupied) > 3
        for k in occupied:
            path, frame = _slice(written.request, k)
            assert (str(dcmread(path, stop_before_pixels=True).SOPInstanceUID), frame) in listed
            picture, ct = tmp_path / "slice.pgm", str(_uncompressed(path, tmp_path))
            output = ran(installed("dcmp2pgm"), "-v", "-f", str(frame or 1), "-p", str(state), ct, str(picture))
            expected = np.clip((volume_hu[k] + 1350.0) / 1500.0 * 255.0, 0.0, 255.0)
            assert np.abs(np.asarray(Image.open(picture), float) - expected).max() <= 1.0
            for number, mask in masks.items() if frame == 0 else ():  # of an Enhanced CT dcmp2pgm only lists frame 1
                assert (_filled(_outlines(output, f"NODULE_{number}"), mask.shape[1:]) == mask[k]).all()


@pytest.mark.parametrize("kind", ["positive", "Enhanced", "negative", "not analysed", "in Japanese"])
def test_validators_have_nothing_to_say(kind: str, tmp_path: Path) -> None:
    files = _saved(_request(kind, tmp_path / "ct"), tmp_path)
    paths = [path for part in files.values() for path in part]
    assert paths
    for path in paths:
        assert complaints(ran(beside_python("dciodvfy"), "-new", str(path))) == []
    ct = sorted((tmp_path / "ct").iterdir())
    assert complaints(ran(beside_python("dcentvfy"), *(str(path) for path in (*ct, *paths)))) == []


def _request(kind: str, folder: Path) -> ReportRequest:
    if kind == "not analysed":
        ct = a_series(folder, slices=4, drop={2})
        return a_refusal(source=tuple(dcmread(path, stop_before_pixels=True) for path in ct), options=ONLY)
    names = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"}
    ct = a_series(
        folder,
        hu=air_hu if kind == "negative" else balls_hu,
        slices=20,
        enhanced=kind == "Enhanced",
        **(names if kind == "in Japanese" else {}),
    )
    case, frames = case_from_files(ct)
    return a_request(case, frame_numbers=frames, options=ONLY)


def _saved(request: ReportRequest, folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {"captures": [], "presentation": []}
    for document in compose(request):
        if document.role in files:
            path = folder / f"{document.role}-{document.number}.dcm"
            document.dataset.save_as(path, enforce_file_format=True)
            files[document.role].append(path)
    return files


def _shown(path: Path, folder: Path) -> NDArray[np.uint8]:
    picture = folder / f"{path.stem}.ppm"
    assert ran(installed("dcmj2pnm"), "--write-raw-pnm", str(path), str(picture)) == ""
    return np.asarray(Image.open(picture))


def _slice(request: ReportRequest, k: int) -> tuple[Path, int]:
    """File and frame (from 1, 0 without frames) of slice k, by its position as the CT itself says it."""
    assert request.result is not None
    expected = request.result.grid.lps_from_kji((k, 0, 0))
    for header in request.source:
        frames = header.get("PerFrameFunctionalGroupsSequence")
        places = [header] if frames is None else [frame.PlanePositionSequence[0] for frame in frames]
        for number, place in enumerate(places, start=1):
            if np.allclose(np.asarray(place.ImagePositionPatient, float), expected, atol=0.01):
                return Path(str(header.filename)), 0 if frames is None else number
    raise AssertionError


def _uncompressed(path: Path, folder: Path) -> Path:
    """The instance as dcmp2pgm can read it, which has no decoder of JPEG-LS."""
    if dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID != JPEGLSLossless:
        return path
    assert ran(installed("dcmdjpls"), str(path), str(folder / "slice.dcm")) == ""
    return folder / "slice.dcm"


def _listed(state: Dataset) -> set[tuple[str, int]]:
    listed = set()
    for item in state.ReferencedSeriesSequence[0].ReferencedImageSequence:
        for frame in np.atleast_1d(item.get("ReferencedFrameNumber", 0)):
            listed.add((str(item.ReferencedSOPInstanceUID), int(frame)))
    return listed


def _outlines(output: str, layer: str) -> list[list[tuple[float, float]]]:
    """Coordinates (column, row) of the graphics on a layer, as dcmp2pgm lists them for the image."""
    part = re.split(r"Graphic Layer #\d+ \[", output)
    (own,) = [text for text in part if text.startswith(f"{layer}]")]
    found = re.findall(r"coordinates: (.*?)\n(?!I: +[\d.]+\\)", own)
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+)\\([\d.]+)", text)] for text in found]


def _filled(outlines: list[list[tuple[float, float]]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels whose middles lie inside, filled by scikit-image, for which they are whole (row, column)."""
    filled = np.zeros(shape, bool)
    for outline in outlines:
        filled ^= polygon2mask(shape, np.array(outline)[:, ::-1] - 0.5)
    return filled
