"""Pictures of results."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.volume import Volume
from pacs_node.report.colour import finding_rgb
from pacs_node.report.overlay import draw
from pacs_node.report.overlay.finding import close_field, enlarged
from pacs_node.report.overlay.style import Caption
from pacs_node.report.overlay.summary import summary_picture
from pacs_node.report.overlay.views import edge_letters, radiograph, windowed
from tests.support.results import Case, Pear, a_case, a_grid


@pytest.fixture(scope="module")
def case() -> Case:
    return a_case()


def test_every_finding_has_a_picture_and_all_have_one_together(case: Case, tmp_path: Path) -> None:
    paths = draw(_volume(case), case.result.findings, tmp_path / "new", title="CT CHEST")
    assert [path.name for path in paths] == ["findings.png", "nodule-01.png", "nodule-02.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.width >= 1000


def test_a_result_without_findings_has_one_picture(case: Case, tmp_path: Path) -> None:
    assert [path.name for path in draw(_volume(case), (), tmp_path)] == ["findings.png"]


def test_a_table_of_many_findings_fits() -> None:
    case = a_case([Pear(centre_kji=(10, 20, 20), diameter_mm=8.0)])
    (one,) = case.result.findings
    findings = tuple(dataclasses.replace(one, number=number) for number in range(1, 16))
    caption = Caption(title="15 nodules", subtitle="", is_synthetic=False)
    two_rows = summary_picture(_volume(case), findings, caption).height
    assert two_rows > summary_picture(_volume(case), findings[:6], caption).height


def test_only_a_synthetic_ct_is_called_synthetic(case: Case, tmp_path: Path) -> None:
    real, synthetic = (
        np.asarray(Image.open(draw(_volume(case), (), tmp_path / title, title=title)[0]))
        for title in ("CT chest", "Synthetic phantom")
    )
    alert = (255, 106, 92)
    assert not (real == alert).all(axis=-1).any()
    assert (synthetic == alert).all(axis=-1).sum() > 100


def test_the_outline_lies_on_the_edge_of_the_mask(case: Case) -> None:
    """Every coloured pixel lies within one voxel of a side between inside and outside."""
    finding = case.result.findings[0]
    pixels = 600
    picture = np.asarray(enlarged(_volume(case), finding, pixels), float)
    field = close_field(_volume(case), finding, pixels)
    coloured = np.abs(picture - finding_rgb(finding.number)).max(axis=-1) < 40
    rows, columns = np.nonzero(coloured)
    assert rows.size > 200
    plane = np.zeros(case.result.grid.shape_kji[1:], bool)
    start, voxels = finding.mask.start_kji, finding.mask.voxels
    plane[start[1] : start[1] + voxels.shape[1], start[2] : start[2] + voxels.shape[2]] = voxels[
        finding.long_axis.slice_k - start[0]
    ]
    edges = _edges(plane)
    places = np.stack([rows, columns], axis=1) / pixels * field.size_ji + field.corner_ji
    distances = np.linalg.norm(places[:, None] - edges[None], axis=-1).min(axis=1)
    assert distances.max() < 1.0


def test_the_lung_window_is_the_usual_one() -> None:
    """Centre -600, width 1500: from -1350 to 150 HU."""
    assert windowed(np.array([-2000.0, -1350.0, -600.0, 150.0, 3000.0])).tolist() == [0, 0, 127, 255, 255]


@pytest.mark.parametrize(
    ("directions", "letters"),
    [
        (((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)), ("R", "A")),
        (((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0)), ("L", "P")),
        (((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)), ("L", "A")),
        (((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), ("A", "L")),
    ],
    ids=["supine", "prone", "feet first", "on the side"],
)
def test_the_patient_faces_us_whatever_the_orientation(
    directions: tuple[tuple[float, float, float], ...], letters: tuple[str, str]
) -> None:
    grid = dataclasses.replace(a_grid(), directions=directions)  # type: ignore[arg-type]
    volume = Volume(volume_hu=np.zeros(grid.shape_kji, np.int16), grid=grid, frame_of_reference_uid="")
    assert edge_letters(grid) == letters
    chest = radiograph(volume, 300, 300)
    middle = grid.lps_from_kji(np.asarray(grid.shape_kji) / 2 - 0.5)
    x, y = chest.place(tuple(middle))
    assert (x, y) == pytest.approx((chest.image.width / 2, chest.image.height / 2))
    left_x, _ = chest.place(tuple(middle + (10.0, 0.0, 0.0)))
    _, head_y = chest.place(tuple(middle + (0.0, 0.0, 10.0)))
    assert left_x > x
    assert head_y < y


def test_a_bright_voxel_shows_where_its_place_is_told() -> None:
    grid = a_grid()
    volume_hu = np.full(grid.shape_kji, -1000, np.int16)
    volume_hu[25, :, 50] = 400
    chest = radiograph(Volume(volume_hu=volume_hu, grid=grid, frame_of_reference_uid=""), 320, 320)
    x, y = chest.place(tuple(grid.lps_from_kji((25, 32, 50))))
    brightest = np.unravel_index(
        np.argmax(np.asarray(chest.image.convert("L"))), (chest.image.height, chest.image.width)
    )
    assert brightest == pytest.approx((y, x), abs=6)


def _volume(case: Case) -> Volume:
    return Volume(volume_hu=case.volume_hu, grid=case.result.grid, frame_of_reference_uid="")


def _edges(plane: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Middles of all sides between a pixel of the mask and one outside."""
    middles = []
    for axis in (0, 1):
        changes = np.argwhere(np.diff(plane.astype(np.int8), axis=axis) != 0).astype(float)
        changes[:, axis] += 0.5
        middles.append(changes)
    return np.concatenate(middles)
