"""Headers that were not parsed say what a parser says, whatever the ones before said and whatever is wrong in them."""

from __future__ import annotations

import struct
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from inference.errors import SeriesUnreadable
from inference.series import SeriesHeader, SliceHeader, find_files, read_headers
from inference.series.headers import TAGS
from inference.series.repeated import PlainHeads, remember
from inference.series.slices import most_common
from tests.support.hostile import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, deep
from tests.support.series import a_series

CT = Path(__file__).parents[3] / "../shared/data/ct"
FIRST, PART, SAMPLES = b"\x08\x00\x08\x00CS", b"\x18\x00\x15\x00CS", b"\x28\x00\x02\x00US"
ROWS, PIXELS = b"\x28\x00\x10\x00US", b"\xe0\x7f\x10\x00O"
SYNTAXES = [
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


def an_element(group: int, number: int, vr: str, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr.encode(), len(value)) + value


def a_long_element(group: int, number: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HH2sHI", group, number, vr.encode(), 0, len(value) if length is None else length) + value


def an_item(content: bytes) -> bytes:
    return ITEM + struct.pack("<I", len(content)) + content


DEFLATED = b"1.2.840.10008.1.2.1.99"
POSITION = an_element(0x20, 0x32, "DS", b"1\\2\\3 ")
GROUP = a_long_element(0x20, 0x9113, "SQ", an_item(POSITION))
ADDITIONS: dict[str, tuple[bytes, bytes]] = {
    "number of frames": (ROWS, an_element(0x28, 8, "IS", b"2 ")),
    "a position once more": (ROWS, POSITION),
    "a position of another kind": (SAMPLES, a_long_element(0x20, 0x32, "UN", b"1\\2\\3 ")),
    "a UID once more": (ROWS, an_element(8, 0x18, "UI", b"1.2.3\0")),
    "rows once more": (ROWS, an_element(0x28, 0x10, "US", b"\x07\x00")),
    "rows of another kind": (ROWS, a_long_element(0x28, 0x10, "UN", b"\x07\x00")),
    "rows of no kind": (ROWS, an_element(0x28, 0x10, "ZZ", b"\x07\x00")),
    "an unknown kind": (ROWS, an_element(0x28, 6, "ZZ", b"\x07\x00")),
    "an implicit element": (ROWS, struct.pack("<HHI", 0x28, 6, 2) + b"\x01\x00"),
    "the end of an item": (ROWS, ITEM_END),
    "a group length": (SAMPLES, an_element(0x28, 0, "UL", bytes(4))),
    "private elements": (SAMPLES, an_element(0x21, 0x10, "LO", b"TEST") + a_long_element(0x21, 0x1001, "UN", b"")),
    "a private sequence": (SAMPLES, a_long_element(0x21, 0x1001, "SQ", an_item(POSITION))),
    "a private sequence without length": (
        SAMPLES,
        a_long_element(0x21, 0x1001, "SQ", an_item(POSITION) + SEQUENCE_END, 0xFFFFFFFF),
    ),
    "a deep private sequence": (SAMPLES, b"\x21\x00\x01\x10" + deep(40)[4:]),
    "bulk": (ROWS, a_long_element(0x28, 6, "OB", bytes(70_000))),
    "a text of a megabyte": (ROWS, a_long_element(0x28, 6, "UT", bytes(1 << 20))),
    "a length that lies": (ROWS, a_long_element(0x28, 6, "UT", b"12", 0xFFFFFFFE)),
    "unknown without length": (ROWS, a_long_element(0x28, 6, "UN", an_item(b"") + SEQUENCE_END, 0xFFFFFFFF)),
    "a sequence": (PIXELS, a_long_element(0x40, 0x275, "SQ", an_item(POSITION) * 2)),
    "a sequence without length": (
        PIXELS,
        a_long_element(0x40, 0x275, "SQ", an_item(POSITION) + SEQUENCE_END, 0xFFFFFFFF),
    ),
    "items without length": (
        PIXELS,
        a_long_element(0x40, 0x275, "SQ", ITEM + UNDEFINED + POSITION + ITEM_END + SEQUENCE_END, 0xFFFFFFFF),
    ),
    "a sequence that is longer than it says": (PIXELS, a_long_element(0x40, 0x275, "SQ", an_item(POSITION), 10)),
    "a sequence that is shorter than it says": (PIXELS, a_long_element(0x40, 0x275, "SQ", an_item(POSITION), 40)),
    "a sequence of no items": (PIXELS, a_long_element(0x40, 0x275, "SQ", b"12345678")),
    "a sequence without end": (PIXELS, a_long_element(0x40, 0x275, "SQ", ITEM + UNDEFINED, 0xFFFFFFFF)),
    "a deep sequence": (PIXELS, deep(40)),
    "an agent": (PART, a_long_element(0x18, 0x12, "SQ", an_item(POSITION))),
    "no agent": (PART, a_long_element(0x18, 0x12, "SQ", b"")),
    "shared groups": (PIXELS, a_long_element(0x5200, 0x9229, "SQ", an_item(GROUP))),
    "groups per frame": (PIXELS, a_long_element(0x5200, 0x9230, "SQ", an_item(GROUP) * 2)),
    "float pixels": (PIXELS, a_long_element(0x7FE0, 8, "OF", bytes(8))),
    "pixels twice": (PIXELS, a_long_element(0x7FE0, 0x10, "OW", bytes(8))),
    "pixels of another kind": (PIXELS, a_long_element(0x7FE0, 0x10, "UN", bytes(8))),
    "meta among the rest": (ROWS, an_element(2, 0x16, "AE", b"TEST")),
    "a character set": (FIRST, an_element(8, 5, "CS", b"ISO_IR 192")),
    "a character set that nobody knows": (FIRST, an_element(8, 5, "CS", b"ISO_IR 999")),
    "a command": (FIRST, an_element(0, 2, "UI", b"1.2\0")),
}
"""the element that stands behind, and what is put there"""

ODD = [
    "an unknown kind",
    "an implicit element",
    "a deep private sequence",
    "unknown without length",
    "a sequence that is longer than it says",
    "a sequence that is shorter than it says",
    "a sequence of no items",
    "a sequence without end",
    "shared groups",
    "groups per frame",
    "float pixels",
    "pixels of another kind",
    "meta among the rest",
    "a command",
]
"""of these, those of which a walk over tags and lengths does not see what a parser sees"""

Change = Callable[[bytes], bytes]
Slices = Callable[[str], list[bytes]]


def with_addition(name: str, content: bytes) -> bytes:
    before, addition = ADDITIONS[name]
    return content.replace(before, addition + before, 1)


def with_meta(element: bytes, content: bytes) -> bytes:
    """Another element in place of the SOP Instance UID in the File Meta Information."""
    at = content.index(b"\x02\x00\x03\x00UI")
    end = at + 8 + int.from_bytes(content[at + 6 : at + 8], "little")
    changed = content[:at] + element + content[end:]
    length = int.from_bytes(content[140:144], "little") + len(changed) - len(content)
    return changed[:140] + struct.pack("<I", length) + changed[144:]


def replaced(at: int, count: int, new: bytes, content: bytes) -> bytes:
    """Other bytes in place of some; more or fewer, too."""
    return content[:at] + new + content[at + count :]


places = st.integers(100, 1700)  # the heads of these slices are as long
some = st.binary(min_size=1, max_size=4)
changes = st.one_of(
    st.sampled_from(sorted(ADDITIONS)).map(lambda name: partial(with_addition, name)),
    some.flatmap(lambda new: places.map(lambda at: partial(replaced, at, len(new), new))),
    st.builds(partial, st.just(replaced), places, st.integers(0, 1000), some),
)


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Slices:
    """Two slices of a series in a Transfer Syntax."""

    @cache
    def written(syntax: str) -> list[bytes]:
        folder = tmp_path_factory.mktemp("ct")
        return [path.read_bytes() for path in a_series(folder, slices=2, size=(16, 16), transfer_syntax=syntax)]

    return written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed")


def headers_or_error(paths: Sequence[Path]) -> tuple[SeriesHeader, ...] | str:
    try:
        return read_headers(paths)
    except SeriesUnreadable as error:
        return str(error)


def slices_of(headers: Sequence[SeriesHeader]) -> set[SliceHeader]:
    return {item for header in headers for item in header.slices}


def together_of(headers: Sequence[SeriesHeader]) -> SeriesHeader:
    """One series of several that were read apart: what most of them say, of equals the first by its UID."""
    parts = sorted(headers, key=lambda header: header.slices[0].sop_instance_uid)
    slices = sorted(slices_of(parts), key=lambda item: (item.sop_instance_uid, item.frame, item.path))
    said: dict[str, Any] = {
        name: most_common(getattr(part, name) for part in parts)
        for name in SeriesHeader.__slots__
        if name not in ("slices", "contrast", "image_type", "sop_class_uids")
    }
    return SeriesHeader(
        **{name: "" if value is None and name != "series_number" else value for name, value in said.items()},
        contrast=any(part.contrast for part in parts),
        image_type=most_common(item.image_type for item in slices) or (),
        sop_class_uids=tuple(sorted({item.sop_class_uid for item in slices})),
        slices=tuple(slices),
    )


def assert_read_alike(folder: Path, contents: Sequence[bytes]) -> None:
    """Together, where all but the first may repeat what the ones before said, as one by one, where nothing does."""
    paths = [folder / f"{number}.dcm" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of character sets
        alone = [headers_or_error([path]) for path in paths]
        together = headers_or_error(paths)
    errors = [headers for headers in alone if isinstance(headers, str)]
    if errors:
        assert together == errors[0]
        return
    assert not isinstance(together, str)
    single = [header for headers in alone if not isinstance(headers, str) for header in headers]
    series = defaultdict(list)
    for header in single:
        series[header.study_instance_uid, header.series_instance_uid].append(header)
    assert together == tuple(together_of(series[key]) for key in sorted(series))


@pytest.mark.parametrize("name", ADDITIONS)
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_what_is_odd_in_a_header_is_read_alike(folder: Path, slices: Slices, syntax: str, name: str) -> None:
    first, second = slices(syntax)
    change = partial(with_addition, name)
    assert_read_alike(folder, [change(first), change(second), first, second, change(first)])


def test_sequences_that_are_read_are_told_apart(folder: Path, slices: Slices) -> None:
    first, second = slices(ExplicitVRLittleEndian)
    assert_read_alike(folder, [with_addition("no agent", first), with_addition("an agent", second)])


@pytest.mark.parametrize("tag", [b"\x08\x00\x18\x00UI", b"\x20\x00\x13\x00IS", b"\x20\x00\x32\x00DS"])
def test_what_a_slice_has_for_itself_is_read_alike_in_any_kind(folder: Path, slices: Slices, tag: bytes) -> None:
    first, _ = slices(ExplicitVRLittleEndian)
    at = first.index(tag)
    unknown = tag[:4] + b"UN\0\0" + first[at + 6 : at + 8] + b"\0\0"
    assert_read_alike(folder, [replaced(at, 8, unknown, first)] * 2)


def test_a_file_that_says_in_an_odd_place_that_it_is_deflated_is_read_alike(folder: Path, slices: Slices) -> None:
    first, second = slices(ExplicitVRLittleEndian)
    hidden = an_element(2, 3, "UI", an_element(2, 16, "UI", DEFLATED))
    assert_read_alike(folder, [first, with_meta(hidden, second)])


def test_slices_of_one_series_in_two_encodings_are_read_alike(folder: Path, slices: Slices) -> None:
    assert_read_alike(folder, [slices(ExplicitVRLittleEndian)[0], slices(JPEGLSLossless)[1]])


def test_an_encoding_that_is_not_the_stated_one_is_read_alike(folder: Path, slices: Slices) -> None:
    stated, other = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"
    assert_read_alike(folder, [content.replace(stated, other, 1) for content in slices(ExplicitVRLittleEndian)])


@pytest.mark.parametrize("name", ODD)
def test_what_a_parser_might_read_otherwise_is_left_to_it(slices: Slices, name: str) -> None:
    changed = with_addition(name, slices(ExplicitVRLittleEndian)[0])
    assert PlainHeads(TAGS).taken(changed) is None


def test_meta_information_without_length_is_left_to_the_parser(slices: Slices) -> None:
    changed = with_meta(a_long_element(2, 3, "OB", b"", 0xFFFFFFFF), slices(ExplicitVRLittleEndian)[0])
    assert PlainHeads(TAGS).taken(changed) is None


def test_a_sequence_that_a_parser_ends_elsewhere_is_left_to_it(slices: Slices) -> None:
    first, _ = slices(ExplicitVRLittleEndian)
    no_item = struct.pack("<HHI", 0x40, 7, 8) + an_element(0x20, 0x13, "IS", bytes(20))[:8] + SEQUENCE_END
    sequence = a_long_element(0x40, 0x275, "SQ", no_item, 0xFFFFFFFF)
    assert PlainHeads(TAGS).taken(with_addition("a sequence without length", first)) is not None
    assert PlainHeads(TAGS).taken(first.replace(PIXELS, sequence + PIXELS)) is None


@settings(max_examples=150, deadline=None)
@given(
    syntax=st.sampled_from(SYNTAXES[:2] * 3 + SYNTAXES[2:]),
    of_both=st.lists(changes, max_size=2),
    of_second=st.lists(changes, max_size=2),
)
def test_changed_headers_are_read_alike(
    folder: Path, slices: Slices, syntax: str, of_both: list[Change], of_second: list[Change]
) -> None:
    first, second = slices(syntax)
    for change in of_both:
        first, second = change(first), change(second)
    third = second
    for change in of_second:
        third = change(third)
    assert_read_alike(folder, [first, second, third])


@pytest.mark.parametrize("syntax", SYNTAXES[:2], ids=lambda syntax: syntax.keyword)
def test_every_header_that_is_cut_short_is_read_alike(folder: Path, slices: Slices, syntax: str) -> None:
    first, second = slices(syntax)
    for length in range(128, second.index(PIXELS) + 20, 9):
        assert_read_alike(folder, [first, second[:length]])


@pytest.mark.parametrize("syntax", SYNTAXES[:2], ids=lambda syntax: syntax.keyword)
def test_slices_of_a_series_repeat_each_other(tmp_path: Path, syntax: str) -> None:
    heads = PlainHeads(TAGS)
    taken = [heads.taken(path.read_bytes()) for path in a_series(tmp_path, slices=5, transfer_syntax=syntax)]
    assert len({head.common for head in taken if head is not None}) == 1
    assert None not in taken


@pytest.mark.parametrize("syntax", SYNTAXES[2:], ids=lambda syntax: syntax.keyword)
def test_other_encodings_are_left_to_the_parser(slices: Slices, syntax: str) -> None:
    assert PlainHeads(TAGS).taken(slices(syntax)[0]) is None


def test_no_end_of_new_elements_is_remembered() -> None:
    known: dict[int, int] = {}
    for number in range(1000):
        remember(known, number, number, 10)
        assert len(known) <= 10
        assert known[number] == number


@pytest.mark.data
@pytest.mark.skipif(not CT.exists(), reason="the real CTs of ../shared/data are not here")
@pytest.mark.parametrize("name", ["LIDC-IDRI-0001", "C3N-00247", "ACRIN-FLT-Breast_001"])
def test_real_headers_are_read_alike_and_repeat_each_other(folder: Path, name: str) -> None:
    contents = [path.read_bytes()[: 1 << 16] for path in find_files(CT / name)[::9]]
    assert_read_alike(folder, contents)
    heads = PlainHeads(TAGS)
    commons = {head.common for content in contents if (head := heads.taken(content)) is not None}
    assert len(commons) <= len(contents) // 4
