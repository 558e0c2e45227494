"""RECIST axes out of tables with DeepLesion's columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.data.recist import RecistReading, RecistUnreadable
from training.data.recist_csv import read_table
from training.labels.recist import RecistAxes

HEADER = (
    "File_name,Patient_index,Study_index,Series_ID,Key_slice_index,Measurement_coordinates,Bounding_boxes,"
    "Lesion_diameters_Pixel_,Normalized_lesion_location,Coarse_lesion_type,Possibly_noisy,Slice_range,Spacing_mm_px_,"
    "Image_size,DICOM_windows,Patient_gender,Patient_age,Train_Val_Test"
)
COORDINATES = "233.5, 95.0, 234.0, 107.0, 231.0, 101.5, 236.5, 101.0"


def row(
    file_name: str = "000007_02_01_109.png", coordinates: str = COORDINATES, kind: str = "5", noisy: str = "0"
) -> str:
    return (
        f'{file_name},7,2,1,109,"{coordinates}","226, 90, 241, 112","12.0, 5.5","0.4, 0.3, 0.5",{kind},{noisy},'
        '"103, 115","0.8, 0.8, 5","512, 512","-1500, 500",F,62,3'
    )


def read(tmp_path: Path, *rows: str, header: str = HEADER) -> RecistReading:
    path = tmp_path / "DL_info.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return read_table(path)


def test_a_row_gives_axes_in_the_file_of_its_series(tmp_path: Path) -> None:
    (found,) = read(tmp_path, row()).measurements
    assert found.axes == RecistAxes(long_xy=((233.5, 95.0), (234.0, 107.0)), short_xy=((231.0, 101.5), (236.5, 101.0)))
    assert (found.image, found.series, found.patient_id) == ("000007_02_01/109.png", "000007_02_01", "deeplesion-7")
    assert found.name == "row 1 000007_02_01_109.png"


def test_lesions_elsewhere_and_doubted_rows_are_refused_unknown_places_are_not(tmp_path: Path) -> None:
    reading = read(tmp_path, row(kind="4"), row(noisy="1"), row(kind="-1"), row(kind="5.0"))
    assert [item.code for item in reading.refused] == ["recist.not-lung", "recist.noisy"]
    assert len(reading.measurements) == 2


def test_two_columns_are_enough(tmp_path: Path) -> None:
    header = "File_name,Measurement_coordinates"
    (found,) = read(tmp_path, f'slice.png,"{COORDINATES}"', header=header).measurements
    assert (found.image, found.series, found.patient_id) == ("slice.png", "", "")


@pytest.mark.parametrize(
    "coordinates",
    ["", "1,2,3", "1,2,3,4,5,6,7,x", "1,1,1,1,2,2,3,3", "nan,1,2,3,4,5,6,7", "__import__('os')", COORDINATES + ",9"],
)
def test_coordinates_that_are_not_two_axes_are_refused(tmp_path: Path, coordinates: str) -> None:
    reading = read(tmp_path, row(coordinates=coordinates), row())
    assert [item.code for item in reading.refused] == ["recist.coordinates"]
    assert len(reading.measurements) == 1


@pytest.mark.parametrize("name", ["", "../../etc/passwd_1.png", "..\\a_1.png", ".hidden_1.png"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    assert [item.code for item in read(tmp_path, row(file_name=name)).refused] == ["recist.file-name"]


def test_a_short_row_is_refused(tmp_path: Path) -> None:
    assert [item.code for item in read(tmp_path, "000007_02_01_109.png,7").refused] == ["recist.coordinates"]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"File_name\nx\n", b"\xff\xfe\x00\x01", b"\x89PNG\r\n\x1a\n"])
def test_another_file_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    with pytest.raises(RecistUnreadable, match=r"other\.csv"):
        read_table(path)


def test_an_absent_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(RecistUnreadable, match=r"absent\.csv"):
        read_table(tmp_path / "absent.csv")
