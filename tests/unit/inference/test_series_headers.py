"""What headers say, whatever is missing or broken in them, and which files have one."""

from __future__ import annotations

import errno
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from inference.eligibility import judge
from inference.errors import SeriesInaccessible, SeriesUnreadable
from inference.series import SeriesHeader, find_files, read_headers
from inference.series.decoding import read_frames
from inference.series.guard import Decoder
from tests.support.ct_instances import edit, patch, uid
from tests.support.headers import FEW
from tests.support.series import (
    CORONAL,
    PATIENT_NAME,
    Orientation,
    a_series,
)

NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
COMPRESSED = [RLELossless, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL]


def the_series(paths: list[Path]) -> SeriesHeader:
    (series,) = read_headers(paths)
    return series


class TestHeaders:
    def test_two_studies_in_one_folder_are_two_series(self, tmp_path: Path) -> None:
        first = a_series(tmp_path / "1", slices=3, study="1")
        second = a_series(tmp_path / "2", slices=4, study="2")
        mixed = [*first, *second]
        random.Random(7).shuffle(mixed)
        found = {series.study_instance_uid: series.slice_count for series in read_headers(mixed)}
        assert found == {uid("1"): 3, uid("2"): 4}

    def test_the_header_says_what_rules_ask_for(self, tmp_path: Path) -> None:
        series = the_series(a_series(tmp_path, slices=5, spacing_mm=2.0, thickness_mm=3.0, ContrastBolusAgent="IODINE"))
        assert (series.modality, series.sop_class_uids) == ("CT", (CTImageStorage,))
        assert (series.body_part_examined, series.series_description) == ("CHEST", "LUNG 2.5")
        assert (series.study_description, series.protocol_name) == ("CT CHEST", "CHEST")
        assert (series.convolution_kernel, series.manufacturer) == ("B30f", "PULMONODE TEST")
        assert (series.image_type, series.series_number) == (("ORIGINAL", "PRIMARY", "AXIAL"), 2)
        assert series.contrast
        assert (series.slice_count, series.thickness_mm, series.orientation) == (5, 3.0, "axial")
        assert series.spacing_mm == pytest.approx(2.0)
        assert series.coverage_mm == pytest.approx(4 * 2.0 + 3.0)

    def test_a_slice_says_what_its_file_says(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=3, size=(8, 12), rescale=(2.0, -1000.0), bits_stored=12, padding=-2000)
        item = next(item for item in the_series(paths).slices if item.path == paths[0])
        assert (item.rows, item.columns) == (8, 12)
        assert item.position_lps == pytest.approx((-5.5 * 0.8, -3.5 * 0.8, -2.5))
        assert item.orientation == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        assert item.pixel_spacing_mm == (0.8, 0.8)
        assert (item.rescale_slope, item.rescale_intercept, item.rescale_type) == (2.0, -1000.0, "HU")
        assert (item.instance_number, item.frame) == (3, 0)
        assert item.transfer_syntax_uid == ExplicitVRLittleEndian
        assert item.pixels is not None
        assert (item.pixels.bits_stored, item.pixels.high_bit, item.pixels.signed) == (12, 11, True)
        assert (item.pixels.length, item.pixels.padding) == (8 * 12 * 2, (-2000, -2000))

    def test_a_series_without_contrast_and_orientation_says_so(self, tmp_path: Path) -> None:
        series = the_series(a_series(tmp_path, slices=3, ImageOrientationPatient=None))
        assert not series.contrast
        assert (series.orientation, series.spacing_mm, series.coverage_mm) == ("", None, None)

    @pytest.mark.parametrize(("orientation", "name"), [(CORONAL, "coronal"), ((0.8, 0.6, 0, 0, 0, -1.0), "oblique")])
    def test_the_orientation_has_a_name(self, tmp_path: Path, orientation: Orientation, name: str) -> None:
        assert the_series(a_series(tmp_path, slices=2, orientation=orientation)).orientation == name

    def test_the_facts_are_those_of_most_slices(self, tmp_path: Path) -> None:
        series = the_series(a_series(tmp_path, slices=4, localizer=True, change={0: {"SeriesDescription": "ODD"}}))
        assert (series.series_description, series.thickness_mm, series.orientation) == ("LUNG 2.5", 2.5, "axial")
        assert series.spacing_mm == pytest.approx(2.5)

    def test_missing_attributes_are_none(self, tmp_path: Path) -> None:
        absent = [
            "ImagePositionPatient",
            "PixelSpacing",
            "SliceThickness",
            "RescaleSlope",
            "RescaleIntercept",
            "PixelData",
        ]
        nothing: dict[str, Any] = dict.fromkeys([*absent, "FrameOfReferenceUID", "ImageType"])
        paths = a_series(tmp_path, slices=2, **nothing)
        item = the_series(paths).slices[0]
        assert (item.position_lps, item.pixel_spacing_mm, item.slice_thickness_mm) == (None, None, None)
        assert (item.rescale_slope, item.rescale_intercept, item.pixels) == (None, None, None)
        assert (item.frame_of_reference_uid, item.image_type) == ("", ())

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"0.8\\0.8 ", b"0,8\\0,8 "),
            (b"0.8\\0.8 ", b"0.8     "),
            (b"0.8\\0.8 ", b"nan\\inf "),
            (b"-25.2\\-25.2", b"inf  \\-25.2"),
            (b"0.8\\0.8 ", b"\xff\xfe\xfd\x00\x01\x02\x03\x04"),
        ],
    )
    def test_a_broken_value_is_a_reason_and_no_error(self, tmp_path: Path, old: bytes, new: bytes) -> None:
        paths = a_series(tmp_path, slices=3)
        patch(paths[1], old, new)
        assert judge(the_series(paths), FEW).codes == ("series.missing-geometry",)

    def test_an_empty_value_of_an_unknown_kind_is_a_reason_and_no_error(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=3, SliceThickness="")
        patch(paths[1], b"\x18\x00\x50\x00DS", b"\x18\x00\x50\x00ZZ")
        assert judge(the_series(paths), FEW).codes == ("series.missing-thickness",)

    @pytest.mark.parametrize("kind", [b"FD", b"ZZ"])
    def test_a_sequence_of_another_kind_is_none(self, tmp_path: Path, kind: bytes) -> None:
        paths = a_series(tmp_path, slices=3, ContrastBolusAgent="IODINE")
        for path in paths:
            patch(path, b"\x18\x00\x10\x00LO", b"\x18\x00\x12\x00" + kind)
        assert not the_series(paths).contrast

    def test_a_sign_that_is_neither_is_a_reason_and_no_error(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=3, change={1: {"PixelRepresentation": 2}})
        assert judge(the_series(paths), FEW).codes == ("series.no-pixels",)

    @pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
    def test_fragments_are_no_pixels_where_the_transfer_syntax_has_none(self, tmp_path: Path, syntax: str) -> None:
        paths = a_series(tmp_path, slices=3, transfer_syntax=syntax)
        fragment = b"\xfe\xff\x00\xe0" + (64 * 64 * 2).to_bytes(4, "little")
        for path in paths:
            content = path.read_bytes()
            stated = content[: -64 * 64 * 2].removesuffix((64 * 64 * 2).to_bytes(4, "little"))
            table = b"\xfe\xff\x00\xe0\0\0\0\0"
            end = b"\xfe\xff\xdd\xe0\0\0\0\0"
            path.write_bytes(stated + b"\xff" * 4 + table + fragment + content[-64 * 64 * 2 :] + end)
        assert "series.no-pixels" in judge(the_series(paths), FEW).codes

    @pytest.mark.parametrize(("declared", "encoding"), [("ISO_IR 100", "latin-1"), ("ISO_IR 192", "utf-8")])
    def test_descriptions_are_read_in_their_character_set(self, tmp_path: Path, declared: str, encoding: str) -> None:
        text = "Thorax über alles µ"
        series = the_series(a_series(tmp_path, slices=1, SpecificCharacterSet=declared, SeriesDescription=text))
        assert text.encode(encoding) in next(tmp_path.iterdir()).read_bytes()
        assert series.series_description == text

    def test_an_unknown_character_set_does_no_harm(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=1, SpecificCharacterSet="ISO_IR 100")
        patch(paths[0], b"ISO_IR 100", b"ISO_IR 999")
        with pytest.warns(UserWarning, match="ISO_IR 999"):
            assert the_series(paths).series_description == "LUNG 2.5"

    def test_an_enhanced_ct_says_the_same_as_its_frames_one_by_one(self, tmp_path: Path) -> None:
        options: dict[str, Any] = {
            "slices": 6,
            "rescale": lambda k: (1.0 + k, -1000.0),
            "change": {2: {"SliceThickness": "2.6"}},
        }
        single = the_series(a_series(tmp_path / "single", **options))
        multi = the_series(a_series(tmp_path / "multi", enhanced=True, **options))
        assert multi.sop_class_uids == (EnhancedCTImageStorage,)
        assert multi.convolution_kernel == single.convolution_kernel
        assert [item.frame for item in multi.slices] == [1, 2, 3, 4, 5, 6]
        for name in ("position_lps", "orientation", "pixel_spacing_mm", "slice_thickness_mm", "rescale_slope"):
            assert {getattr(item, name) for item in multi.slices} == {getattr(item, name) for item in single.slices}
        assert {item.image_type[:3] for item in multi.slices} == {item.image_type for item in single.slices}

    def test_a_single_frame_instance_that_counts_its_frame_has_no_frame_number(self, tmp_path: Path) -> None:
        series = the_series(a_series(tmp_path, slices=2, NumberOfFrames=1))
        assert [item.frame for item in series.slices] == [0, 0]

    def test_a_frame_without_a_position_is_missing_geometry(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=5, enhanced=True)
        edit(paths[0], lambda dataset: delattr(dataset.PerFrameFunctionalGroupsSequence[2], "PlanePositionSequence"))
        eligibility = judge(the_series(paths), FEW)
        assert eligibility.codes == ("series.missing-geometry",)
        assert "1 of 5 slices" in eligibility.reasons[0].text

    def test_more_frames_than_described_are_reported(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=5, enhanced=True)
        edit(paths[0], lambda dataset: setattr(dataset, "NumberOfFrames", 4))
        assert judge(the_series(paths), FEW).codes == ("series.frame-count",)

    def test_a_file_cut_short_is_ineligible(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=5)
        paths[2].write_bytes(paths[2].read_bytes()[:-1])
        assert judge(the_series(paths), FEW).codes == ("series.truncated",)

    def test_a_file_cut_in_its_header_is_ineligible(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=5)
        content = paths[2].read_bytes()
        paths[2].write_bytes(content[: content.index(b"0.8\\0.8")])
        assert {"series.no-pixels", "series.missing-geometry"} <= set(judge(the_series(paths), FEW).codes)

    def test_what_is_not_dicom_cannot_be_read(self, tmp_path: Path) -> None:
        path = tmp_path / PATIENT_NAME
        path.write_bytes(b"no DICOM" * 100)
        with pytest.raises(SeriesUnreadable, match="cannot be read as DICOM") as raised:
            read_headers([path])
        assert "CANARY" not in str(raised.value)

    def test_a_missing_file_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(SeriesUnreadable, match="missing") as raised:
            read_headers([tmp_path / PATIENT_NAME])
        assert "CANARY" not in str(raised.value)


class TestFindFiles:
    def test_only_dicom_is_found_at_any_depth(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path / "a" / "b", slices=3)
        (tmp_path / "truth.json").write_text("{}")
        (tmp_path / "empty").touch()
        (tmp_path / "a" / "notes.dcm").write_bytes(bytes(200))
        assert find_files(tmp_path) == sorted(paths)

    def test_a_dicomdir_is_left_out_by_its_class(self, tmp_path: Path) -> None:
        (path,) = a_series(tmp_path, slices=1)
        content = path.read_bytes()
        sop_class = b"\x02\x00\x02\x00UI\x1a\x001.2.840.10008.5.1.4.1.1.2\0"
        directory_class = b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"
        length = int.from_bytes(content[140:144], "little") - len(sop_class) + len(directory_class)
        content = content[:140] + length.to_bytes(4, "little") + content[144:].replace(sop_class, directory_class)
        (tmp_path / "INDEX").write_bytes(content)
        assert find_files(tmp_path) == [path]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x02\x00\x00\x00UL\x04\x00", b"\x02\x00\x00\x00UL\x03\x00"),
        (b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0", b"\x02\x00\x10\x00UI\x17\x001.2.840.10008.1.2.1.99\0"),
    ],
    ids=["a length of three bytes", "deflated, and padded as it should not be"],
)
def test_broken_meta_information_is_unreadable(tmp_path: Path, old: bytes, new: bytes) -> None:
    (path,) = a_series(tmp_path, slices=1)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(SeriesUnreadable, match="cannot be read as DICOM"):
        read_headers([path])


def test_a_file_that_is_gone_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(SeriesUnreadable, match="missing"):
        read_headers([tmp_path / "gone.dcm"])


class BadSector(io.FileIO):
    """A file that cannot be read any more from somewhere on."""

    def __init__(self, path: Path, sector: int) -> None:
        super().__init__(path)
        self.sector = sector

    def readinto(self, buffer: Any) -> int:
        if self.tell() >= self.sector:
            raise OSError(errno.EIO, "Input/output error")
        return super().readinto(memoryview(buffer)[: self.sector - self.tell()])


class OnBadSector(type(Path())):  # type: ignore[misc]
    """The path of such a file."""

    sector = 0

    def open(self, *how: Any) -> io.BufferedReader:  # type: ignore[override]
        return io.BufferedReader(BadSector(self, self.sector))


@pytest.mark.parametrize("sector", [0, 2**13, 2**17], ids=["at the start", "in the header", "among the pixels"])
def test_a_disk_that_fails_anywhere_is_told_from_a_broken_file(tmp_path: Path, sector: int) -> None:
    (path,) = a_series(tmp_path, slices=1, size=(512, 512))
    bad = OnBadSector(path)
    bad.sector = sector
    with Decoder() as decoder, pytest.raises(SeriesInaccessible):
        (item,) = the_series([bad]).slices
        assert sector > 2**16
        list(read_frames(item, item.pixels, {0: np.empty((512, 512), np.int16)}, decoder))  # type: ignore[arg-type]
