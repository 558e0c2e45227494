"""Pictures and presentation states in the eyes of DCMTK: dcmj2pnm, dcmpschk and dcmp2pgm; and of dciodvfy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from skimage.draw import polygon2mask

from inference.series import find_files
from pacs_node.report import ReportRequest, compose
from tests.support.pictures import shows
from tests.support.results import (
    Case,
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

ONLY = options(objects=frozenset({"captures", "presentation"}))
REAL_CT = Path(__file__).parents[2] / "../shared/data/ct/LIDC-IDRI-0001"
NODULE_LPS, NODULE_RADIUS_MM = (56.2, 86.3, -115.9), 16.0
"""The nodule of 23.4 mm of LIDC-IDRI-0001."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A CT on disk, what is in it, and its pictures and presentation state beside it."""

    case: Case
    ct: list[Path]
    captures: list[Path]
    states: list[Path]


@pytest.fixture(scope="module", params=["single-frame", "Enhanced"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("rendered")
    is_enhanced = request.param == "Enhanced"
    ct = a_series(folder / "ct", hu=balls_hu, slices=20, size=(72, 64), rescale=(0.5, -1024.0), enhanced=is_enhanced)
    case, frames = case_from_files(ct)
    files = _saved(a_request(case, frame_numbers=frames, options=ONLY), folder)
    yield Written(case=case, ct=ct, captures=files["captures"], states=files["presentation"])


def test_dcmtk_shows_every_picture_pixel_for_pixel(written: Written, tmp_path: Path) -> None:
    assert len(written.captures) == 1 + len(written.case.result.findings)
    for path in written.captures:
        shown = _shown(path, tmp_path)
        assert (shown == dcmread(path).pixel_array).all()
        assert shows(shown, "RESEARCH USE ONLY")
    for finding, path in zip(written.case.result.findings, written.captures[1:], strict=True):
        assert shows(_shown(path, tmp_path), f"Nodule {finding.number} of {len(written.case.result.findings)}")


def test_dcmtk_finds_nothing_wrong_with_the_presentation_state(written: Written) -> None:
    (state,) = written.states
    output = ran(installed("dcmpschk"), "-v", str(state))
    assert "Test passed." in output
    assert complaints(output.replace("W: Testing:", "").replace("W: Test passed.", "")) == []


def test_dcmtk_draws_the_outlines_around_the_masks_and_shows_the_lung_window(written: Written, tmp_path: Path) -> None:
    """On every slice; -1350 to 150 HU are 0 to 255."""
    (state,) = written.states
    listed = _listed(dcmread(state))
    masks = {finding.number: np.zeros(written.case.volume_hu.shape, bool) for finding in written.case.result.findings}
    for finding in written.case.result.findings:
        masks[finding.number][finding.mask.box] = finding.mask.voxels
    occupied = [k for k in range(20) if any(mask[k].any() for mask in masks.values())]
    assert len(listed) == len(occupied) > 8
    for k in occupied:
        path, frame = _slice(written, k)
        assert (str(dcmread(path).SOPInstanceUID), frame) in listed
        picture = tmp_path / "slice.pgm"
        output = ran(installed("dcmp2pgm"), "-v", "-f", str(frame or 1), "-p", str(state), str(path), str(picture))
        expected = np.clip((written.case.volume_hu[k] + 1350.0) / 1500.0 * 255.0, 0.0, 255.0)
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


@pytest.mark.data
@pytest.mark.slow
def test_pictures_of_a_real_ct_are_right(tmp_path: Path) -> None:
    if not REAL_CT.exists():
        pytest.skip("no real CT in ../shared/data")
    paths = find_files(REAL_CT)
    case = real_case(paths, centre_lps=NODULE_LPS, radius_mm=NODULE_RADIUS_MM)
    files = _saved(a_request(case, options=ONLY), tmp_path)
    assert [len(part) for part in files.values()] == [2, 1]
    shown = [_shown(path, tmp_path) for path in files["captures"]]
    assert shows(shown[0], "1 nodule found.")
    axes = case.result.findings[0].long_axis, case.result.findings[0].short_axis
    assert shows(shown[1], f"{axes[0].length_mm:.1f} x {axes[1].length_mm:.1f} mm")
    for path in (*files["captures"], *files["presentation"]):
        assert complaints(ran(beside_python("dciodvfy"), "-new", str(path))) == []


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


def _slice(written: Written, k: int) -> tuple[Path, int]:
    """File and frame (from 1, 0 without frames) of slice k, by its position as the CT itself says it."""
    expected = written.case.result.grid.lps_from_kji((k, 0, 0))
    for path in written.ct:
        header = dcmread(path, stop_before_pixels=True)
        frames = header.get("PerFrameFunctionalGroupsSequence")
        places = [header] if frames is None else [frame.PlanePositionSequence[0] for frame in frames]
        for number, place in enumerate(places, start=1):
            if np.allclose(np.asarray(place.ImagePositionPatient, float), expected, atol=0.01):
                return path, 0 if frames is None else number
    raise AssertionError


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
