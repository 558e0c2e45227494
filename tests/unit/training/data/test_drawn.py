"""What was drawn, found in folders of DICOM with reports, of PNG with a table, and in the shared slices."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from inference.volume import HuArray
from tests.support.recist_reports import LONG, SHORT, axis, group, image, line, report
from tests.support.series import a_series
from training.data.dicom_seg import pseudonym
from training.data.drawn import NothingDrawn, around, find
from training.data.known import Refusal
from training.data.soft_mask_folder import Subject
from training.labels.recist import RecistAxes, axes_of

AXES = axes_of(((20.0, 30.0), (40.0, 30.0)), ((30.0, 24.0), (30.0, 36.0)))


def ramp(rows: int, columns: int) -> HuArray:
    """A pixel tells its row (thousands) and column."""
    return (1000 * np.arange(rows)[:, None] + np.arange(columns)).astype(np.int16)


def ct_with_report(folder: Path, **options: object) -> list[Path]:
    """Three slices; the report measures the middle one, and something on an instance that is not there."""
    paths = a_series(folder / "ct", slices=3, **options)  # type: ignore[arg-type]
    uid = str(dcmread(paths[len(paths) // 2], stop_before_pixels=True).SOPInstanceUID)
    frame = 2 if options.get("enhanced") else None
    groups = [
        group(
            axis(LONG, line(20.5, 30.5, 40.5, 30.5, on=image(there, frame))),
            axis(SHORT, line(30.5, 24.5, 30.5, 36.5, on=image(there, frame))),
        )
        for there in (uid, "1.2.3.404")
    ]
    report(groups).save_as(folder / "report.dcm", enforce_file_format=True)
    return paths


def png(path: Path, stored: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(stored).save(path)


def table(folder: Path, *names: str) -> Path:
    path = folder / "DL_info.csv"
    coordinates = '"20,30,40,30,30,24,30,36"'
    path.write_text(
        "\n".join(("File_name,Patient_index,Measurement_coordinates", *(f"{name},7,{coordinates}" for name in names)))
    )
    return path


def test_a_crop_has_the_lesion_in_its_middle_and_moves_the_axes() -> None:
    crop, axes = around(ramp(30, 200), axes_of(((100.0, 10.0), (120.0, 10.0)), ((110.0, 5.0), (110.0, 15.0))))
    assert crop.shape == (30, 71)
    assert crop[0, 0] == 110 - 35
    assert axes.long_xy == ((25.0, 10.0), (45.0, 10.0))


def test_a_large_lesion_gets_a_crop_of_twice_its_size() -> None:
    crop, _ = around(
        np.zeros((512, 512), np.int16), axes_of(((200.0, 250.0), (290.0, 250.0)), ((245, 240), (245, 260)))
    )
    assert crop.shape == (180, 180)


def test_axes_beyond_the_image_leave_nothing() -> None:
    crop, _ = around(ramp(30, 100), axes_of(((500.0, 10.0), (520.0, 10.0)), ((510.0, 5.0), (510.0, 15.0))))
    assert not crop.size


def test_a_report_finds_its_slice_and_says_what_is_not_there(tmp_path: Path) -> None:
    ct_with_report(tmp_path, hu=lambda points: np.round(points[..., 2]))
    found = find(tmp_path)
    subject, refusal = found.items
    assert found.count == 2
    assert isinstance(subject, Subject)
    assert isinstance(subject.drawn, RecistAxes)
    assert (subject.image_hu_ji == 0).all()
    assert subject.drawn == AXES
    assert (subject.patient_id, subject.pixel_spacing_mm) == (pseudonym("PAT-3"), 0.8)
    assert subject.series == str(dcmread(next((tmp_path / "ct").rglob("*.dcm"))).SeriesInstanceUID)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "image.absent"


def test_the_frame_of_an_enhanced_ct_is_found(tmp_path: Path) -> None:
    """Frames run from head to feet: the second one of three lies in the middle, at z = 0."""
    ct_with_report(tmp_path, enhanced=True, hu=lambda points: np.round(points[..., 2]))
    subject = next(iter(find(tmp_path).items))
    assert isinstance(subject, Subject)
    assert (subject.image_hu_ji == 0).all()


def test_a_report_from_elsewhere_is_taken_and_its_copy_counts_once(tmp_path: Path) -> None:
    ct_with_report(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "report.dcm").rename(tmp_path / "elsewhere" / "report.dcm")
    (tmp_path / "elsewhere" / "copy.dcm").write_bytes((tmp_path / "elsewhere" / "report.dcm").read_bytes())
    with pytest.raises(NothingDrawn, match="--recist"):
        find(tmp_path / "ct")
    items = list(find(tmp_path / "ct", tmp_path / "elsewhere").items)
    assert [type(item) for item in items] == [Subject, Refusal]


def test_a_table_finds_16_bit_png_in_the_folders_of_deeplesion(tmp_path: Path) -> None:
    stored = (32768 - 800 + np.arange(80)[:, None] + np.zeros((80, 90))).astype(np.uint16)
    png(tmp_path / "Images_png" / "000007_02_01" / "109.png", stored)
    png(tmp_path / "000007_02_02" / "110.png", stored)
    table(tmp_path, "000007_02_01_109.png", "000007_02_02_110.png")
    first, second = find(tmp_path).items
    for subject in (first, second):
        assert isinstance(subject, Subject)
        assert subject.image_hu_ji[0, 0] == -800
        assert subject.image_hu_ji[10, 3] == -790
        assert (subject.patient_id, subject.pixel_spacing_mm) == ("deeplesion-7", None)


def test_png_that_are_absent_broken_or_of_8_bits_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "Images_png" / "a"
    png(folder / "8.png", np.zeros((80, 80), np.uint8))
    (folder / "text.png").write_text("no picture")
    path = table(tmp_path, "a_8.png", "a_text.png", "a_9.png", "a_.._x.png")
    refused = [item for item in find(tmp_path, path).items if isinstance(item, Refusal)]
    assert [item.code for item in refused] == ["deeplesion.slices", "deeplesion.slices", "image.absent", "image.absent"]


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(NothingDrawn):
        find(tmp_path)


def test_the_shared_slices_come_with_all_their_readers(tmp_path: Path) -> None:
    flat = np.zeros((1, 71, 71), np.uint8)
    np.savez(tmp_path / "slices.npz", lo=flat, hi=flat)
    reader = {"malignancy": 3, "polygon_xy": [[20, 20], [30, 20], [30, 28], [20, 28]]}
    row = {
        "patient_id": "LIDC-IDRI-0002",
        "pixel_spacing_mm": 0.7,
        "readers": [{"reader_annotation": 1, **reader}, {"reader_annotation": 2, **reader}],
    }
    with gzip.open(tmp_path / "slices.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")
    found = find(tmp_path)
    (subject,) = found.items
    assert isinstance(subject, Subject)
    assert isinstance(subject.drawn, np.ndarray)
    assert subject.drawn.shape == (2, 71, 71)
    assert subject.drawn.sum(axis=(1, 2)).tolist() == [11 * 9, 11 * 9]
    assert (found.count, subject.patient_id) == (1, "LIDC-IDRI-0002")
