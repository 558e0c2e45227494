"""What a parser is given of a file: all that is read of an honest one, and nothing that could harm of another."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from inference.errors import SeriesUnreadable
from inference.series import Excess, Head, read_head
from inference.series.limits import MAX_DEPTH, MAX_ELEMENTS, MAX_HEADER_BYTES, MAX_ITEMS
from tests.support.hostile import BEHIND_IDENTIFIERS, deep, put
from tests.support.series import a_series

SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGLSLossless,
]
SERIES_NUMBER, ROWS = b"\x20\x00\x11\x00", b"\x28\x00\x10\x00"


def a_file(folder: Path, change: Callable[[bytes], bytes], syntax: str = ExplicitVRLittleEndian) -> Path:
    """A slice whose bytes were changed."""
    (path,) = a_series(folder, slices=1, transfer_syntax=syntax)
    path.write_bytes(change(path.read_bytes()))
    return path


def parsed(head: Head) -> Dataset:
    """What a parser makes of it."""
    return dcmread(io.BytesIO(head.content))


@pytest.mark.parametrize("is_enhanced", [False, True], ids=["single-frame", "enhanced"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_the_head_of_an_honest_file_is_all_that_stands_before_its_pixels(
    tmp_path: Path, syntax: str, is_enhanced: bool
) -> None:
    nested = Dataset()
    nested.ReferencedSOPInstanceUID = "1.2.3"
    paths = a_series(
        tmp_path, slices=3, transfer_syntax=syntax, enhanced=is_enhanced, ReferencedStudySequence=[nested, Dataset()]
    )
    for path in paths:
        head = read_head(path)
        assert head.excess is None
        assert head.pixels is not None
        assert parsed(head) == dcmread(path, stop_before_pixels=True)


def test_pixels_are_where_the_head_says(tmp_path: Path) -> None:
    (path,) = a_series(tmp_path, slices=1)
    pixels = read_head(path).pixels
    assert pixels is not None
    assert pixels.length == 64 * 64 * 2
    assert path.read_bytes()[pixels.offset :] == dcmread(path).PixelData


def test_sequences_of_undefined_length_and_unknown_kind_are_passed(tmp_path: Path) -> None:
    unknown = b"\x40\x00\x75\x02UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    implicit = struct.pack("<HHI", 0x40, 0x7, 4) + b"SCAN"
    ends = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    icon = b"\x88\x00\x00\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    fragments = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\x04\0\0\0\xfe\xff\xdd\xe0"
    path = a_file(
        tmp_path,
        lambda content: put(unknown + implicit + ends, ROWS)(
            put(icon + fragments + b"\xfe\xff\xdd\xe0\0\0\0\0" + ends, b"\xe0\x7f\x10\x00")(content)
        ),
    )
    head = read_head(path)
    assert (head.excess, head.pixels is None) == (None, False)
    assert parsed(head).RequestAttributesSequence[0].ScheduledProcedureStepDescription == "SCAN"
    assert "IconImageSequence" in parsed(head)


def test_private_and_bulk_values_are_left_out(tmp_path: Path) -> None:
    private = b"\x21\x00\x10\x00LO\x04\x00TEST"
    bulk = b"\x28\x00\x01\x30OB\0\0" + struct.pack("<I", 1 << 20) + bytes(1 << 20)
    head = read_head(a_file(tmp_path, lambda content: put(private + bulk, ROWS)(content)))
    assert (head.excess, len(head.content) < 4000) == (None, True)
    assert parsed(head).Rows == 64


@pytest.mark.parametrize(
    ("levels", "excess"), [(MAX_DEPTH, None), (MAX_DEPTH + 1, Excess.DEPTH), (10_000, Excess.DEPTH)]
)
def test_what_is_too_deep_is_left_out_and_the_rest_is_kept(tmp_path: Path, levels: int, excess: Excess | None) -> None:
    head = read_head(a_file(tmp_path, put(deep(levels), BEHIND_IDENTIFIERS)))
    assert (head.excess, "RequestAttributesSequence" in parsed(head)) == (excess, excess is None)
    assert parsed(head).Rows == 64
    assert head.pixels is not None


@pytest.mark.parametrize("more", [-1000, 0])
def test_elements_are_counted(tmp_path: Path, more: int) -> None:
    many = b"".join(struct.pack("<HHI", 0x21, n % 65536, 0) for n in range(MAX_ELEMENTS + more))
    head = read_head(a_file(tmp_path, put(many, ROWS), ImplicitVRLittleEndian))
    assert (head.excess, head.pixels is None) == ((Excess.SIZE, True) if more == 0 else (None, False))
    assert "StudyInstanceUID" in parsed(head)


@pytest.mark.parametrize(("items", "excess"), [(MAX_ITEMS, None), (MAX_ITEMS + 1, Excess.SIZE)])
def test_items_and_their_ends_are_no_elements_and_counted_apart(
    tmp_path: Path, items: int, excess: Excess | None
) -> None:
    """Enhanced CTs have about a dozen for every frame, and most writers end each with a delimiter."""
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + struct.pack("<HHI", 0x18, 0x9345, 0) + b"\xfe\xff\x0d\xe0\0\0\0\0"
    sequence = b"\x18\x00\x25\x93\xff\xff\xff\xff" + item * items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    head = read_head(a_file(tmp_path, put(sequence, ROWS), ImplicitVRLittleEndian))
    assert 3 * MAX_ITEMS > MAX_ELEMENTS
    assert (head.excess, head.pixels is None) == (excess, excess is not None)


@pytest.mark.parametrize("more", [-10_000, 0])
def test_no_more_is_read_than_a_header_may_have(tmp_path: Path, more: int) -> None:
    long = b"\x28\x00\x01\x30OB\0\0" + struct.pack("<I", MAX_HEADER_BYTES + more) + bytes(MAX_HEADER_BYTES + more)
    head = read_head(a_file(tmp_path, put(long, ROWS)))
    assert (head.excess, head.pixels is None) == ((Excess.SIZE, True) if more == 0 else (None, False))
    assert "StudyInstanceUID" in parsed(head)


@pytest.mark.parametrize("length", [2**16 - 2, 2**16])
def test_a_text_is_no_longer_than_explicit_vr_could_hold(tmp_path: Path, length: int) -> None:
    comments = b"\x20\x00\x00\x40" + struct.pack("<I", length) + b"\\" * length
    head = read_head(a_file(tmp_path, put(comments, ROWS), ImplicitVRLittleEndian))
    assert head.excess is (None if length < 2**16 else Excess.SIZE)
    assert ("ImageComments" in parsed(head)) == (length < 2**16)
    assert parsed(head).Rows == 64


@pytest.mark.parametrize("length", [9, 2**31, 2**32 - 2])
def test_a_length_beyond_the_end_of_the_file_ends_the_head(tmp_path: Path, length: int) -> None:
    liar = b"\x28\x00\x01\x30OB\0\0" + struct.pack("<I", length) + b"12345678"
    path = a_file(tmp_path, lambda content: content[: content.index(ROWS)] + liar)
    head = read_head(path)
    assert (head.excess, head.pixels) == (None, None)
    assert "Rows" not in parsed(head)
    assert "StudyInstanceUID" in parsed(head)


def test_a_file_without_a_prefix_is_no_dicom(tmp_path: Path) -> None:
    with pytest.raises(SeriesUnreadable, match="cannot be read as DICOM"):
        read_head(a_file(tmp_path, lambda content: content[132:]))
