"""Pictures of results."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.findings import Finding
from inference.geometry import Grid
from inference.volume import Volume
from pacs_node.report.colour import Rgb, finding_rgb
from pacs_node.report.overlay import Caption, Notes, Picture, Scene, draw, finding_picture, summary_picture
from pacs_node.report.overlay.chest import radiograph
from pacs_node.report.overlay.nodule import close_field, enlarged
from pacs_node.report.overlay.style import ALERT, font, lines
from pacs_node.report.overlay.views import (
    axes_letters,
    edge_letters,
    field_around,
    mask_image,
    slice_image,
    whole_field,
    windowed,
)
from tests.support.pictures import shows
from tests.support.results import Case, Pear, a_case, a_grid

GRIDS: dict[str, Grid] = {
    "feet to head": a_grid(),
    "head to feet": dataclasses.replace(a_grid(), directions=((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))),
    "more rows than columns": a_grid((32, 80, 56)),
    "more columns than rows": a_grid((32, 56, 80)),
    "tall pixels": dataclasses.replace(a_grid(), spacing_mm=(1.25, 1.1, 0.7)),
    "wide pixels": dataclasses.replace(a_grid(), spacing_mm=(1.25, 0.6, 0.9)),
}
CAPTION = Caption(title="A title")


@pytest.fixture(scope="module")
def case() -> Case:
    return a_case()


def a_scene(case: Case, count: int | None = None) -> Scene:
    """The case; or the same nodule `count` times under different numbers."""
    findings = case.result.findings
    if count is not None:
        findings = tuple(dataclasses.replace(findings[0], number=number) for number in range(1, count + 1))
    numbers = tuple(str(100 - k) for k in range(case.result.grid.shape_kji[0]))
    return Scene(volume=_volume(case), findings=findings, image_numbers=numbers)


def test_every_finding_has_a_picture_and_all_have_one_together(case: Case, tmp_path: Path) -> None:
    paths = draw(_volume(case), case.result.findings, tmp_path / "new", title="CT CHEST")
    assert [path.name for path in paths] == ["findings.png", "nodule-01.png", "nodule-02.png"]
    pictures = [np.asarray(Image.open(path)) for path in paths]
    assert [picture.shape[1] for picture in pictures] == [1024, 768, 768]
    assert shows(pictures[0], "2 nodules")
    assert shows(pictures[1], "Nodule 1 of 2")
    assert shows(pictures[2], "Nodule 2 of 2")
    assert all(shows(picture, "CT CHEST") for picture in pictures)


def test_a_result_without_findings_has_one_picture(case: Case, tmp_path: Path) -> None:
    (path,) = draw(_volume(case), (), tmp_path)
    assert path.name == "findings.png"
    assert shows(np.asarray(Image.open(path)), "No nodule found")


def test_every_picture_says_research_use(case: Case) -> None:
    scene = a_scene(case)
    nothing = dataclasses.replace(scene, findings=())
    pages = [summary_picture(each, CAPTION, Notes()) for each in (scene, nothing, None)]
    for picture in (*pages, *(finding_picture(scene, finding, CAPTION) for finding in scene.findings)):
        assert shows(_pixels(picture), "RESEARCH USE ONLY")


def test_only_a_synthetic_ct_is_called_synthetic(case: Case, tmp_path: Path) -> None:
    real, synthetic = (
        np.asarray(Image.open(draw(_volume(case), (), tmp_path / title, title=title)[0]))
        for title in ("CT chest", "Synthetic phantom")
    )
    assert not (real == ALERT).all(axis=-1).any()
    assert (synthetic == ALERT).all(axis=-1).sum() > 100


def test_a_key_image_tells_all_values_and_the_slice(case: Case) -> None:
    scene = a_scene(case)
    finding = dataclasses.replace(
        scene.findings[0],
        equivalent_diameter_mm=7.04,
        volume_mm3=1234.4,
        mean_hu=-61.2,
        sd_hu=33.6,
        malignancy=0.126,
        score=0.913,
        long_axis=dataclasses.replace(scene.findings[0].long_axis, length_mm=9.96, slice_k=11),
        short_axis=dataclasses.replace(scene.findings[0].short_axis, length_mm=5.04, slice_k=11),
    )
    pixels = _pixels(finding_picture(scene, finding, CAPTION))
    values = ("7.0 mm", "10.0 x 5.0 mm", "1,234 mm3", "-61 \u00b1 34 HU", "solid", "right", "13 %", "91 %")
    assert [value for value in values if not shows(pixels, value)] == []
    # slices lie 1.25 mm apart from -100 mm on: -100 + 11 x 1.25 = -86.25, to one decimal (to even) -86.2
    assert shows(pixels, "slice 12 of 32 (image 89), z = -86.2 mm")


def test_the_name_of_a_slice_never_runs_into_the_scale(case: Case) -> None:
    """A nodule of 36 mm or less has a bar of 10 / 36 x 600 = 167 pixels, and ends 16 from the edge."""
    (finding, _), count = case.result.findings, case.result.grid.shape_kji[0]
    scene = Scene(volume=_volume(case), findings=(finding,), image_numbers=("1234567890",) * count)
    pixels = _pixels(finding_picture(scene, finding, CAPTION))
    where = f"{scene.slice_name(finding.long_axis.slice_k)}, z ="
    assert any(shows(pixels, where, [size]) for size in (12, 13, 14, 15))
    assert shows(pixels, "10 mm", [14])


def test_a_finding_that_no_model_rated_is_not_rated(case: Case) -> None:
    scene = a_scene(case)
    finding = dataclasses.replace(scene.findings[0], malignancy=None)
    assert shows(_pixels(finding_picture(scene, finding, CAPTION)), "not rated")


def test_an_unknown_side_is_not_guessed(case: Case) -> None:
    scene = a_scene(case)
    finding = dataclasses.replace(scene.findings[0], laterality=None)
    assert shows(_pixels(finding_picture(scene, finding, CAPTION)), "unknown")


def test_the_table_has_a_line_for_every_finding(case: Case) -> None:
    pixels = _pixels(summary_picture(a_scene(case), CAPTION, Notes()))
    for finding in case.result.findings:
        assert shows(pixels, f"{finding.long_axis.length_mm:.1f} x {finding.short_axis.length_mm:.1f} mm")
        assert shows(pixels, f"{finding.long_axis.slice_k + 1} ({100 - finding.long_axis.slice_k})")


def test_of_many_findings_the_page_says_how_many_more_there_are() -> None:
    case = a_case([Pear(centre_kji=(10, 20, 20), diameter_mm=8.0)])
    pages = {count: summary_picture(a_scene(case, count), CAPTION, Notes()) for count in (15, 16, 40)}
    assert not shows(_pixels(pages[15]), "and 1 more, each with a picture of its own")
    assert shows(_pixels(pages[16]), "and 1 more, each with a picture of its own")
    assert shows(_pixels(pages[40]), "and 25 more, each with a picture of its own")
    heights = [page.height for page in pages.values()]
    assert heights[0] < heights[1] == heights[2]


@pytest.mark.parametrize("count", [1, 2, 5, 15])
def test_all_findings_are_on_the_page_enlarged_and_in_their_colours(count: int) -> None:
    """A frame of two pixels around each; the smallest is higher than 50 pixels."""
    case = a_case([Pear(centre_kji=(10, 20, 20), diameter_mm=8.0)])
    pixels = _pixels(summary_picture(a_scene(case, count), CAPTION, Notes()))
    for number in range(1, count + 1):
        columns = (pixels == finding_rgb(number)).all(axis=-1).sum(axis=0)
        assert (columns > 50).sum() >= 4


def test_a_map_shows_where_each_finding_lies(case: Case) -> None:
    """By the proportions of the chest: 32 slices of 1.25 mm are 40 mm, 64 columns of 0.7 mm are 44.8 mm wide.

    Fitted into 420 x 470, the map is 420 wide and 375 high, in the middle of its frame, whose corner is (24, 60).
    """
    pixels = _pixels(summary_picture(a_scene(case), CAPTION, Notes()))
    for finding in case.result.findings:
        left_mm, up_mm = (finding.centre_lps[0] + 30.5 + 0.35, finding.centre_lps[2] + 100.0 + 0.625)
        expected = (24 + left_mm / 44.8 * 420, 60 + (470 - 375) / 2 + (1 - up_mm / 40.0) * 375)
        rows, columns = np.nonzero(_is_like(pixels[60:530, 24:444], finding_rgb(finding.number)))
        near = np.hypot(columns + 24 - expected[0], rows + 60 - expected[1]) < 20
        assert near.sum() > 100
        assert (columns[near].mean() + 24, rows[near].mean() + 60) == pytest.approx(expected, abs=1.5)


def test_what_to_know_stands_on_the_page_in_lines_that_fit(case: Case) -> None:
    long = " ".join(["word"] * 60)
    notes = Notes(models=("jnsc version 3",), remarks=("First remark.", long))
    page = summary_picture(a_scene(case), CAPTION, notes)
    pixels = _pixels(page)
    assert all(shows(pixels, text) for text in ("Models", "jnsc version 3", "Remarks", "First remark."))
    assert page.height > summary_picture(a_scene(case), CAPTION, Notes(remarks=("First remark.",))).height


def test_the_page_of_a_study_that_was_not_analysed_has_no_pictures() -> None:
    page = summary_picture(None, Caption(title="Not analysed."), Notes(remarks=("Slices are missing.",)))
    pixels = _pixels(page)
    assert shows(pixels, "Not analysed.")
    assert shows(pixels, "Slices are missing.")
    assert page.width == 1024
    assert page.height < 470


def test_a_title_that_is_too_long_is_written_smaller(case: Case) -> None:
    title = "12 nodules found in the part of the lungs that was covered, which is not all"
    pixels = _pixels(summary_picture(a_scene(case), Caption(title=title), Notes()))
    size = next(size for size in range(26, 12, -1) if shows(pixels, title, [size]))
    assert 13 < size < 26
    assert font(size).getlength(title) < 1024 - 200 < font(size + 1).getlength(title) + 60


def test_a_subtitle_that_does_not_fit_is_cut_or_left_out(case: Case) -> None:
    subtitle = "CT chest with contrast medium " * 4
    cut = _pixels(summary_picture(a_scene(case), Caption(title="2 nodules", subtitle=subtitle), Notes()))
    assert not shows(cut, subtitle.strip())
    assert shows(cut, "CT chest with contrast medium")
    long = "12 nodules found in the part of the lungs that was covered."
    whole, left_out = (
        summary_picture(a_scene(case), Caption(title=long, subtitle=text), Notes()) for text in ("", subtitle)
    )
    assert whole.tobytes() == left_out.tobytes()


@pytest.mark.parametrize("width", [40.0, 90.0, 300.0])
def test_lines_hold_all_words_in_order_and_fit(width: float) -> None:
    text = "Long axis: largest in-plane distance between outline points " + "ab" * 32
    broken = list(lines(text, width, 14))
    assert "".join(broken).replace(" ", "") == text.replace(" ", "")
    assert all(font(14).getlength(line) <= width for line in broken)
    assert list(lines("", width, 14)) == []


def test_lines_are_as_long_as_they_can_be() -> None:
    words = [f"w{number}" for number in range(40)]
    broken = list(lines(" ".join(words), 120.0, 14))
    for line, following in itertools.pairwise(broken):
        assert font(14).getlength(f"{line} {following.split()[0]}") > 120.0


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_the_outline_lies_on_the_edge_of_the_mask(grid: Grid) -> None:
    """Every coloured pixel lies within half a millimetre of a side between inside and outside."""
    case = a_case(grid=grid)
    finding, pixels = case.result.findings[0], 600
    picture = np.asarray(enlarged(_volume(case), finding, (pixels, pixels)), float)
    coloured = np.abs(picture - finding_rgb(finding.number)).max(axis=-1) < 40
    rows, columns = np.nonzero(coloured)
    assert rows.size > 200
    spacing_mm = np.asarray(grid.spacing_mm[1:])
    ends_mm = np.asarray(finding.long_axis.ends_ji) * spacing_mm
    height_mm = max(36.0, 3.0 * finding.long_axis.length_mm)
    places_mm = (np.stack([rows, columns], axis=1) + 0.5 - pixels / 2) / pixels * height_mm + ends_mm.mean(axis=0)
    edges_mm = _edges(_plane(finding, finding.long_axis.slice_k, grid)) * spacing_mm
    distances_mm = np.linalg.norm(places_mm[:, None] - edges_mm[None], axis=-1).min(axis=1)
    assert distances_mm.max() < 0.75


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_what_is_outlined_is_what_is_bright(grid: Grid) -> None:
    """The nodule is 870 HU above the lung: half way it is brighter than 128 of 255 (-415 HU are 158)."""
    case = a_case(grid=grid)
    for finding in case.result.findings:
        k, field = finding.long_axis.slice_k, close_field(_volume(case), finding, (400, 300))
        bright = np.asarray(slice_image(_volume(case), k, field).convert("L")) > 158
        inside = np.asarray(mask_image(finding, k, field)) > 0
        assert (bright & inside).sum() / (bright | inside).sum() > 0.94


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_bright_pixel_shows_where_it_lies_in_millimetres(grid: Grid) -> None:
    """Row 20, column 25 seen in 40 mm around row 30, column 30, at 15 pixels per mm: by hand."""
    volume_hu = np.full(grid.shape_kji, -1350, np.int16)
    volume_hu[7, 20, 25] = 400
    volume_hu[8, 40, 40] = 400
    volume = Volume(volume_hu=volume_hu, grid=grid, frame_of_reference_uid="")
    picture = np.asarray(slice_image(volume, 7, field_around(grid, (30.0, 30.0), 40.0, (900, 600))).convert("L"), float)
    assert picture.shape == (600, 900)
    rows, columns = np.indices(picture.shape)
    at = [float((picture * places).sum() / picture.sum()) + 0.5 for places in (rows, columns)]
    _, tall_mm, wide_mm = grid.spacing_mm
    assert at == pytest.approx([300.0 - 10 * tall_mm * 15.0, 450.0 - 5 * wide_mm * 15.0], abs=0.6)


def test_both_views_of_a_key_image_show_the_slice_of_the_long_axis(case: Case) -> None:
    """Every slice k is even at -1350 + 30 k HU, which is grey 30 k / 1500 x 255."""
    (finding, _), grid = case.result.findings, case.result.grid
    volume_hu = np.broadcast_to(-1350 + 30 * np.arange(32)[:, None, None], grid.shape_kji).astype(np.int16)
    scene = Scene(volume=Volume(volume_hu=volume_hu, grid=grid, frame_of_reference_uid=""), findings=(finding,))
    pixels = _pixels(finding_picture(scene, finding, CAPTION))
    expected = int(30 * finding.long_axis.slice_k / 1500 * 255)
    assert pixels[200, 384].tolist() == [expected] * 3
    assert pixels[60 + 600 - 90, 30].tolist() == [expected] * 3


def test_beside_the_slice_it_is_black(case: Case) -> None:
    field = field_around(case.result.grid, (0.0, 0.0), 20.0, (200, 200))
    picture = np.asarray(slice_image(_volume(case), 3, field))
    assert not picture[:90].any()
    assert not picture[:, :90].any()
    assert picture[110:, 110:].all()


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_the_whole_slice_keeps_its_proportions(grid: Grid) -> None:
    field = whole_field(grid, 196)
    tall, wide = grid.shape_kji[1] * grid.spacing_mm[1], grid.shape_kji[2] * grid.spacing_mm[2]
    assert max(field.width, field.height) == 196
    assert field.height / field.width == pytest.approx(tall / wide, rel=0.01)
    assert field.place(-0.5, -0.5) == (0.0, 0.0)
    assert field.place(grid.shape_kji[1] - 0.5, grid.shape_kji[2] - 0.5) == pytest.approx((field.width, field.height))


def test_nothing_is_marked_on_a_slice_that_the_mask_does_not_reach(case: Case) -> None:
    finding = case.result.findings[0]
    field = close_field(_volume(case), finding, (100, 100))
    for k in (finding.mask.start_kji[0] - 1, finding.mask.start_kji[0] + finding.mask.voxels.shape[0]):
        assert mask_image(finding, k, field).getbbox() is None


def test_axes_and_lengths_are_drawn_only_where_there_is_room(case: Case) -> None:
    finding = case.result.findings[0]
    sizes = {size: np.asarray(enlarged(_volume(case), finding, (size, size))) for size in (100, 300, 600)}
    blue = {size: int((_is_like(picture, (120, 205, 255))).sum()) for size, picture in sizes.items()}
    assert blue[100] == 0
    assert 30 < blue[300] < blue[600]


def test_the_lung_window_is_the_usual_one() -> None:
    """Centre -600, width 1500: from -1350 to 150 HU."""
    assert windowed(np.array([-2000.0, -1350.0, -600.0, 150.0, 3000.0])).tolist() == [0, 0, 127, 255, 255]
    assert windowed(np.array([-2000, -1350, -600, 150, 3000], np.int16)).tolist() == [0, 0, 127, 255, 255]


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
    opposite = {"R": "L", "L": "R", "A": "P", "P": "A"}
    assert axes_letters(grid) == (opposite[letters[0]], opposite[letters[1]])
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


def test_the_same_result_gives_the_same_pictures(case: Case) -> None:
    once, again = (
        [summary_picture(scene, CAPTION, Notes()), *(finding_picture(scene, f, CAPTION) for f in scene.findings)]
        for scene in (a_scene(case), a_scene(a_case()))
    )
    assert [picture.tobytes() for picture in once] == [picture.tobytes() for picture in again]


def _volume(case: Case) -> Volume:
    return Volume(volume_hu=case.volume_hu, grid=case.result.grid, frame_of_reference_uid="")


def _pixels(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(picture)


def _is_like(pixels: NDArray[np.uint8], colour: Rgb) -> NDArray[np.bool_]:
    return np.abs(pixels.astype(int) - colour).max(axis=-1) < 40


def _plane(finding: Finding, k: int, grid: Grid) -> NDArray[np.bool_]:
    plane = np.zeros(grid.shape_kji[1:], bool)
    start, voxels = finding.mask.start_kji, finding.mask.voxels
    plane[start[1] : start[1] + voxels.shape[1], start[2] : start[2] + voxels.shape[2]] = voxels[k - start[0]]
    return plane


def _edges(plane: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Middles of all sides between a pixel of the mask and one outside."""
    middles = []
    for axis in (0, 1):
        changes = np.argwhere(np.diff(plane.astype(np.int8), axis=axis) != 0).astype(float)
        changes[:, axis] += 0.5
        middles.append(changes)
    return np.concatenate(middles)
