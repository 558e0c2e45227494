"""From files to a volume: headers, Hounsfield units, encodings, and what happens when a file lies."""

from __future__ import annotations

import dataclasses
import random
import zlib
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
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

from inference.eligibility import Eligibility, judge
from inference.errors import SeriesUnreadable
from inference.series import DECODABLE, SeriesHeader, find_files, load, read_headers
from inference.volume import Volume
from tests.support.headers import FEW
from tests.support.series import (
    AXIAL,
    CORONAL,
    PATIENT_NAME,
    Orientation,
    a_series,
    outside_the_circle,
    ramp_hu,
    set_pixels,
    uid,
)

NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
COMPRESSED = [RLELossless, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL]


def the_series(paths: list[Path]) -> SeriesHeader:
    (series,) = read_headers(paths)
    return series


def judged(paths: list[Path]) -> Eligibility:
    eligibility = judge(the_series(paths), FEW)
    assert eligibility.reasons == ()
    return eligibility


def loaded(eligibility: Eligibility) -> Volume:
    assert eligibility.grid is not None
    return load(eligibility.slices, eligibility.grid)


def volume_of(paths: list[Path]) -> Volume:
    return loaded(judged(paths))


def ramp_of(volume: Volume) -> np.ndarray:
    """What `ramp_hu` gives in each voxel of the volume."""
    indices = np.stack(np.meshgrid(*map(np.arange, volume.grid.shape_kji), indexing="ij"), axis=-1)
    return ramp_hu(volume.grid.lps_from_kji(indices))


def patch(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes of a file by as many others."""
    content = path.read_bytes()
    assert len(old) == len(new)
    assert old in content
    path.write_bytes(content.replace(old, new))


def edit(path: Path, change: Callable[[Dataset], None]) -> None:
    dataset = dcmread(path)
    change(dataset)
    dataset.save_as(path)


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
            (b"0.8\\0.8 ", b"\xff\xfe\xfd\x00\x01\x02\x03\x04"),
        ],
    )
    def test_a_broken_value_is_a_reason_and_no_error(self, tmp_path: Path, old: bytes, new: bytes) -> None:
        paths = a_series(tmp_path, slices=3)
        patch(paths[1], old, new)
        assert judge(the_series(paths), FEW).codes == ("series.missing-geometry",)

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


class TestVolume:
    @pytest.mark.parametrize("orientation", AXIAL.values(), ids=AXIAL)
    def test_each_voxel_lies_where_the_scanner_put_it(self, tmp_path: Path, orientation: Orientation) -> None:
        options: dict[str, Any] = {"slices": 5, "size": (8, 12), "pixel_spacing_mm": (0.8, 0.6), "spacing_mm": 2.0}
        volume = volume_of(a_series(tmp_path, orientation=orientation, **options))
        assert volume.volume_hu.shape == (5, 8, 12)
        np.testing.assert_array_equal(volume.volume_hu, ramp_of(volume))

    def test_a_volume_is_int16_and_read_only_and_knows_its_space(self, tmp_path: Path) -> None:
        volume = volume_of(a_series(tmp_path, slices=3, padding=-2000))
        assert volume.volume_hu.dtype == np.int16
        assert volume.frame_of_reference_uid == uid("1", "frame of reference")
        assert volume.padding is not None
        for array in (volume.volume_hu, volume.padding):
            with pytest.raises(ValueError, match="read-only"):
                array[0, 0, 0] = 1

    @pytest.mark.parametrize("enhanced", [False, True], ids=["single-frame", "enhanced"])
    @pytest.mark.parametrize("syntax", [*NATIVE, *COMPRESSED], ids=lambda syntax: syntax.keyword)
    @pytest.mark.parametrize(("bits", "signed"), [(16, True), (16, False), (12, True), (12, False)])
    def test_every_encoding_gives_the_same_values(
        self, tmp_path: Path, syntax: str, bits: int, signed: bool, enhanced: bool
    ) -> None:
        coding: dict[str, Any] = {
            "bits_stored": bits,
            "signed": signed,
            "rescale": (1.0, 0.0) if signed else (1.0, -1024.0),
        }
        paths = a_series(tmp_path, slices=3, transfer_syntax=syntax, enhanced=enhanced, **coding)
        volume = volume_of(paths)
        assert {item.transfer_syntax_uid for item in the_series(paths).slices} == {syntax}
        np.testing.assert_array_equal(volume.volume_hu, ramp_of(volume))

    def test_the_file_names_and_the_order_of_frames_do_not_matter(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=6, enhanced=True)
        volume = volume_of(paths)
        assert volume.volume_hu[0].mean() < volume.volume_hu[5].mean()  # the ramp rises to the head, frames fall
        np.testing.assert_array_equal(volume.volume_hu, ramp_of(volume))

    def test_each_slice_has_its_own_rescale(self, tmp_path: Path) -> None:
        def rescale(k: int) -> tuple[float, float]:
            return 1.0 + 0.5 * k, -1000.0 - 10 * k

        paths = a_series(tmp_path, slices=3, size=(4, 4), rescale=rescale)
        for path in paths:
            edit(path, lambda dataset: set_pixels(dataset, np.full((4, 4), 100, np.int16)))
        volume = volume_of(paths)
        assert volume.volume_hu[:, 0, 0].tolist() == [-900, -860, -820]  # 100 - 1000, 150 - 1010, 200 - 1020

    def test_values_beyond_16_bits_are_limited(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=2, size=(1, 2), rescale=(1.0, 1000.0))
        for path in paths:
            edit(path, lambda dataset: set_pixels(dataset, np.array([[32767, -32768]], np.int16)))
        assert volume_of(paths).volume_hu[0, 0].tolist() == [32767, -31768]

    def test_unsigned_values_above_32767_are_not_negative(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=2, size=(1, 2), signed=False, rescale=(1.0, -32768.0))
        for path in paths:
            edit(path, lambda dataset: set_pixels(dataset, np.array([[65535, 0]], np.uint16)))
        assert volume_of(paths).volume_hu[0, 0].tolist() == [32767, -32768]

    def test_bits_above_those_stored_are_not_part_of_the_value(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=2, size=(1, 2), bits_stored=12, rescale=(1.0, 0.0))
        for path in paths:  # 12-bit 100 and -100 with other bits above
            edit(path, lambda dataset: set_pixels(dataset, np.array([[0x5064, 0x0F9C]], np.int16), bits_stored=12))
        assert volume_of(paths).volume_hu[0, 0].tolist() == [100, -100]


class TestPadding:
    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, JPEGLSLossless])
    def test_padding_becomes_air_and_is_marked(self, tmp_path: Path, syntax: str) -> None:
        volume = volume_of(a_series(tmp_path, slices=2, padding=-2000, transfer_syntax=syntax))
        outside = outside_the_circle((64, 64))
        assert volume.padding is not None
        np.testing.assert_array_equal(volume.padding[0], outside)
        assert set(volume.volume_hu[0][outside]) == {-1024}
        np.testing.assert_array_equal(volume.volume_hu[0][~outside], ramp_of(volume)[0][~outside])

    def test_padding_stated_with_the_other_sign_is_the_same_bits(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=2, padding=-2000)
        for path in paths:  # as in LIDC-IDRI: signed pixels, but US 63536 in place of SS -2000
            patch(path, b"\x28\x00\x20\x01SS", b"\x28\x00\x20\x01US")
        padding = volume_of(paths).padding
        assert padding is not None
        np.testing.assert_array_equal(padding[0], outside_the_circle((64, 64)))

    def test_a_range_of_padding_holds_its_ends(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=2, size=(1, 5), padding=-2000, padding_limit=-1998, rescale=(1.0, 0.0))
        values = np.array([[-2001, -2000, -1999, -1998, -1997]], np.int16)
        for path in paths:
            edit(path, lambda dataset: set_pixels(dataset, values))
        volume = volume_of(paths)
        assert volume.padding is not None
        assert volume.padding[0, 0].tolist() == [False, True, True, True, False]
        assert volume.volume_hu[0, 0].tolist() == [-2001, -1024, -1024, -1024, -1997]

    def test_padding_that_does_not_fit_the_stored_bits_is_found(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=2, size=(1, 2), bits_stored=12, signed=False, PixelPaddingValue=63536)
        for path in paths:  # the low 12 bits of 63536 are 2096, which would be bone
            edit(path, lambda dataset: set_pixels(dataset, np.array([[63536, 1024]], np.uint16), bits_stored=12))
        assert volume_of(paths).volume_hu[0, 0].tolist() == [-1024, 0]

    def test_there_is_no_mask_where_nothing_is_padding(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=2, size=(4, 4), PixelPaddingValue=-2000)
        assert volume_of(paths).padding is None


class TestBrokenFiles:
    """Between the judgement and the loading, or within what a header cannot show."""

    @staticmethod
    def failure(paths: list[Path], break_it: Callable[[Path], object]) -> str:
        eligibility = judged(paths)
        break_it(paths[1])
        with pytest.raises(SeriesUnreadable) as raised:
            loaded(eligibility)
        message = str(raised.value)
        assert "CANARY" not in message
        assert uid("1") not in message
        assert str(paths[1]) not in message
        return message

    def test_a_file_that_is_gone(self, tmp_path: Path) -> None:
        assert "missing" in self.failure(a_series(tmp_path, slices=3), Path.unlink)

    @pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *COMPRESSED], ids=lambda syntax: syntax.keyword)
    def test_a_file_that_was_cut_short(self, tmp_path: Path, syntax: str) -> None:
        def cut(path: Path) -> None:
            content = path.read_bytes()
            path.write_bytes(content[: content.index(b"\xe0\x7f\x10\x00") + 40])

        assert "cannot be decoded" in self.failure(a_series(tmp_path, slices=3, transfer_syntax=syntax), cut)

    @pytest.mark.parametrize(
        "syntax", [JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless], ids=lambda syntax: syntax.keyword
    )
    def test_a_frame_that_is_larger_than_its_header_says(self, tmp_path: Path, syntax: str) -> None:
        paths = a_series(tmp_path, slices=3, transfer_syntax=syntax)
        for path in paths:
            edit(path, lambda dataset: setattr(dataset, "Rows", 32))
        assert "not of the size" in self.failure(paths, lambda path: None)

    def test_fewer_frames_than_the_header_says(self, tmp_path: Path) -> None:
        (path,) = a_series(tmp_path, slices=4, enhanced=True, transfer_syntax=RLELossless)
        eligibility = judged([path])
        content = path.read_bytes()
        last_item = content.rindex(b"\xfe\xff\x00\xe0")
        path.write_bytes(content[:last_item] + b"\xfe\xff\xdd\xe0\0\0\0\0")
        with pytest.raises(SeriesUnreadable):
            loaded(eligibility)

    def test_a_deflated_file_that_is_broken(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=3, transfer_syntax=DeflatedExplicitVRLittleEndian)
        assert "deflated" in self.failure(paths, lambda path: path.write_bytes(path.read_bytes()[:400] + b"\xff" * 400))

    def test_a_deflated_file_that_grows_without_end_is_refused(self, tmp_path: Path) -> None:
        (path,) = a_series(tmp_path, slices=1, transfer_syntax=DeflatedExplicitVRLittleEndian)
        content = path.read_bytes()
        meta_end = 144 + int.from_bytes(content[140:144], "little")
        deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        zeros = bytes(2**20)
        bomb = b"".join(deflater.compress(zeros) for _ in range(260)) + deflater.flush()
        path.write_bytes(content[:meta_end] + bomb)
        with pytest.raises(SeriesUnreadable, match="larger than"):
            read_headers([path])

    def test_slices_that_do_not_fill_the_grid_are_refused(self, tmp_path: Path) -> None:
        eligibility = judged(a_series(tmp_path, slices=3))
        with pytest.raises(SeriesUnreadable, match="2 slices do not fill"):
            loaded(dataclasses.replace(eligibility, slices=eligibility.slices[:2]))

    def test_a_grid_larger_than_memory_is_refused_before_it_is_made(self, tmp_path: Path) -> None:
        eligibility = judged(a_series(tmp_path, slices=3))
        assert eligibility.grid is not None
        huge = dataclasses.replace(eligibility.grid, shape_kji=(3, 65535, 65535))
        with pytest.raises(SeriesUnreadable, match="too large"):
            loaded(dataclasses.replace(eligibility, grid=huge))


@pytest.fixture(scope="module")
def two_series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A series with one slice twice the others' slope, and an Enhanced CT of another study."""
    first = a_series(tmp_path_factory.mktemp("1"), slices=5, size=(4, 4), rescale=lambda k: (1.0 + (k == 2), 0.0))
    return [*first, *a_series(tmp_path_factory.mktemp("2"), slices=4, size=(4, 4), enhanced=True, study="2")]


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_files_does_not_matter(two_series: list[Path], order: list[int]) -> None:
    expected = read_headers(two_series)
    shuffled = read_headers([two_series[index] for index in order])
    assert shuffled == expected
    for series, same in zip(shuffled, expected, strict=True):
        volume, other = loaded(judge(series, FEW)), loaded(judge(same, FEW))
        np.testing.assert_array_equal(volume.volume_hu, other.volume_hu)


eighths = st.integers(1, 64).map(lambda value: value / 8)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(eighths, st.integers(-2000, 100)), min_size=2, max_size=4), st.integers(0, 2**32 - 1))
def test_hu_are_exact_for_any_rescale(
    tmp_path_factory: pytest.TempPathFactory, rescales: list[tuple[float, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    paths = a_series(tmp_path_factory.mktemp("hu"), slices=len(rescales), size=(3, 3), rescale=rescales.__getitem__)
    stored = [rng.integers(-4096, 4096, (3, 3)).astype(np.int16) for _ in rescales]
    for path, values in zip(paths, stored, strict=True):
        edit(path, partial(set_pixels, stored=values))
    volume = volume_of(paths)
    for k, ((slope, intercept), values) in enumerate(zip(rescales, stored, strict=True)):
        exact = [round(Fraction(slope) * int(value) + intercept) for value in values.flat]
        assert volume.volume_hu[k].flatten().tolist() == [min(max(value, -32768), 32767) for value in exact]


def test_all_transfer_syntaxes_of_these_tests_are_declared_decodable() -> None:
    assert {*NATIVE, *COMPRESSED} <= DECODABLE
