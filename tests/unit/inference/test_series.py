"""From files to a volume: Hounsfield units, padding, encodings, and what happens when a file lies."""

from __future__ import annotations

import dataclasses
import io
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
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
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
from inference.series import DECODABLE, SeriesHeader, load, read_headers
from inference.series.files import INFLATED_CHUNK_BYTES, InflatedInstance
from inference.volume import Volume
from tests.support.ct_instances import edit, patch, set_pixels, uid
from tests.support.headers import FEW
from tests.support.series import (
    AXIAL,
    Orientation,
    a_series,
    outside_the_circle,
    ramp_hu,
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

    def test_an_intercept_beyond_16_bits_is_added_all_the_same(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=2, size=(1, 2), signed=False, rescale=(1.0, -40000.0))
        for path in paths:
            edit(path, lambda dataset: set_pixels(dataset, np.array([[65535, 40000]], np.uint16)))
        assert volume_of(paths).volume_hu[0, 0].tolist() == [25535, 0]

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

    def test_a_frame_that_does_not_state_its_size(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=3, transfer_syntax=JPEG2000Lossless)
        assert "not of the size" in self.failure(
            paths, lambda path: patch(path, b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x50")
        )

    def test_a_frame_of_more_components_than_its_header_says(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=3, transfer_syntax=JPEG2000Lossless)
        # Csiz, then Ssiz (16 bits, signed), XRsiz and YRsiz of the one component
        one, many = b"\x00\x01\x8f\x01\x01", b"\x40\x00\x8f\x01\x01"
        assert "not of the size" in self.failure(paths, lambda path: patch(path, one, many))

    def test_a_frame_that_is_longer_than_any_of_its_size_can_be(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=3, transfer_syntax=RLELossless)

        def lengthen(path: Path) -> None:
            content = path.read_bytes()
            item = content.rindex(b"\xfe\xff\x00\xe0")
            end = content.rindex(b"\xfe\xff\xdd\xe0")
            codestream = content[item + 8 : end] + bytes(100_000)
            length = len(codestream).to_bytes(4, "little")
            path.write_bytes(content[: item + 4] + length + codestream + content[end:])

        assert "longer than any" in self.failure(paths, lengthen)

    def test_fewer_frames_than_the_header_says(self, tmp_path: Path) -> None:
        (path,) = a_series(tmp_path, slices=4, enhanced=True, transfer_syntax=RLELossless)
        eligibility = judged([path])
        content = path.read_bytes()
        last_item = content.rindex(b"\xfe\xff\x00\xe0")
        path.write_bytes(content[:last_item] + b"\xfe\xff\xdd\xe0\0\0\0\0")
        with pytest.raises(SeriesUnreadable):
            loaded(eligibility)

    def test_a_frame_beyond_those_that_the_header_counts(self, tmp_path: Path) -> None:
        eligibility = judged(a_series(tmp_path, slices=4, enhanced=True))
        slices = tuple(
            dataclasses.replace(item, pixels=item.pixels and dataclasses.replace(item.pixels, frames=3))
            for item in eligibility.slices
        )
        with pytest.raises(SeriesUnreadable, match="fewer frames"):
            loaded(dataclasses.replace(eligibility, slices=slices))

    def test_a_deflated_file_that_is_broken(self, tmp_path: Path) -> None:
        paths = a_series(tmp_path, slices=3, transfer_syntax=DeflatedExplicitVRLittleEndian)
        assert "deflated" in self.failure(paths, lambda path: path.write_bytes(path.read_bytes()[:400] + b"\xff" * 400))

    def test_a_deflated_file_is_read_to_its_end_wherever_that_lies_in_a_chunk(self) -> None:
        def inflated_bytes(length: int) -> int:
            deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            with InflatedInstance(io.BytesIO(deflater.compress(bytes(length)) + deflater.flush())) as instance:
                return len(instance.read())

        lengths = range(INFLATED_CHUNK_BYTES, INFLATED_CHUNK_BYTES + 258)
        assert [inflated_bytes(length) for length in lengths] == [inflated_bytes(0) + length for length in lengths]

    def test_a_deflated_file_that_grows_without_end_is_ineligible(self, tmp_path: Path) -> None:
        (path,) = a_series(tmp_path, slices=1, transfer_syntax=DeflatedExplicitVRLittleEndian)
        content = path.read_bytes()
        meta_end = 144 + int.from_bytes(content[140:144], "little")
        deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        zeros = bytes(2**20)
        bomb = b"".join(deflater.compress(zeros) for _ in range(260)) + deflater.flush()
        path.write_bytes(content[:meta_end] + bomb)
        (series,) = read_headers([path])
        assert "series.header-too-large" in judge(series, FEW).codes

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
