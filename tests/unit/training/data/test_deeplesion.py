"""Slices and rows of DeepLesion become volumes with measured lesions; what cannot be used is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.deeplesion import DeepLesionSeries, SlicesUnreadable, find, read
from training.data.known import Refusal

ROW = {
    "File_name": "000007_02_01_104.png",
    "Patient_index": "7",
    # long axis (10, 20) to (22, 25) = 13 pixels, short axis (14, 26) to (17, 19)
    "Measurement_coordinates": "10, 20, 22, 25, 14, 26, 17, 19",
    "Bounding_boxes": "5, 14, 27, 31",
    "Coarse_lesion_type": "5",
    "Possibly_noisy": "0",
    "Spacing_mm_px_": "0.5, 0.5, 5",
}


def a_folder(tmp_path: Path, *rows: dict[str, str], numbers: tuple[int, ...] = (102, 103, 104, 105, 107)) -> Path:
    """A table and slices of 40 x 50 pixels that hold their own number as HU."""
    with (tmp_path / "DL_info.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ROW)
        table.writeheader()
        table.writerows(rows)
    images = tmp_path / "Images_png" / "000007_02_01"
    images.mkdir(parents=True)
    for number in numbers:
        Image.fromarray(np.full((40, 50), 32768 + number, np.uint16)).save(images / f"{number:03d}.png")
    return tmp_path


def test_a_lesion_lies_on_its_slice_in_the_slices_without_a_gap(tmp_path: Path) -> None:
    (found,) = find(a_folder(tmp_path, ROW))
    assert isinstance(found, DeepLesionSeries)
    assert (found.first, found.last, found.patient_id) == (102, 105, "deeplesion-7")
    series = read(found)
    assert series.volume.volume_hu[:, 0, 0].tolist() == [102, 103, 104, 105]
    assert series.volume.grid.shape_kji == (4, 40, 50)
    (lesion,) = series.nodules
    # mean of the ends: column (10 + 22 + 14 + 17) / 4, row (20 + 25 + 26 + 19) / 4; two slices of 5 mm towards the feet
    assert lesion.centre_lps == pytest.approx((0.5 * 15.75, 0.5 * 22.5, -10.0))
    assert lesion.diameter_mm == pytest.approx(6.5)
    assert lesion.mask is None
    assert lesion.axes is not None
    assert lesion.axes.long_xy == ((10.0, 20.0), (22.0, 25.0))


def test_lesions_of_one_series_share_a_volume(tmp_path: Path) -> None:
    (found,) = find(a_folder(tmp_path, ROW, ROW | {"File_name": "000007_02_01_103.png"}))
    assert isinstance(found, DeepLesionSeries)
    assert len(read(found).nodules) == 2


def test_what_lies_outside_the_scanner_becomes_air(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, ROW, numbers=())
    Image.fromarray(np.zeros((40, 50), np.uint16)).save(folder / "Images_png/000007_02_01/104.png")
    (found,) = find(folder)
    assert isinstance(found, DeepLesionSeries)
    assert (read(found).volume.volume_hu == -1024).all()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Coarse_lesion_type": "2"}, "recist.not-lung"),
        ({"Coarse_lesion_type": "-1"}, "deeplesion.type-unknown"),
        ({"Possibly_noisy": "1"}, "recist.noisy"),
        ({"Measurement_coordinates": "10, 20"}, "recist.coordinates"),
        ({"File_name": "000007_02_01_106.png"}, "deeplesion.missing"),
        ({"Spacing_mm_px_": "0.5, 0.5, NaN"}, "deeplesion.spacing"),
        ({"Spacing_mm_px_": "0.5, 0.5, -5"}, "deeplesion.spacing"),
        ({"Spacing_mm_px_": "0.5"}, "deeplesion.row"),
        ({"Bounding_boxes": "5, 14, 20, 31"}, "deeplesion.box"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(tmp_path: Path, change: dict[str, str], code: str) -> None:
    (refused,) = find(a_folder(tmp_path, ROW | change))
    assert isinstance(refused, Refusal)
    assert refused.code == code


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        pytest.param(np.zeros((40, 50), np.uint8), "16 bits", id="8 bits"),
        pytest.param(np.zeros((40, 40), np.uint16), "one size", id="other size"),
    ],
)
def test_odd_slices_are_not_read(tmp_path: Path, pixels: np.ndarray, message: str) -> None:
    folder = a_folder(tmp_path, ROW)
    Image.fromarray(pixels).save(folder / "Images_png/000007_02_01/103.png")
    (found,) = find(folder)
    assert isinstance(found, DeepLesionSeries)
    with pytest.raises(SlicesUnreadable, match=message):
        read(found)
