"""The scan finds four identifiers in any encoding, and raises one error, quickly, for anything else."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from pacs_node.dimse import header
from pacs_node.errors import InstanceUnreadable
from tests.support.instances import an_instance, encoded, header_of

DELIMITED = 0xFFFFFFFF
NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
WANTED = [(0x0008, 0x0016), (0x0008, 0x0018), (0x0020, 0x000D), (0x0020, 0x000E)]


def an_element(tag: tuple[int, int], value: bytes, length: int | None = None) -> bytes:
    """In Implicit VR Little Endian; `length` lies about the value."""
    return struct.pack("<HHI", *tag, len(value) if length is None else length) + value


def a_dataset(between: bytes = b"", uids: tuple[bytes, ...] = (b"1.1", b"1.2", b"1.3", b"1.4")) -> bytes:
    """The four identifiers, and something between the groups 0008 and 0020."""
    elements = [an_element(tag, uid + b"\0" * (len(uid) % 2)) for tag, uid in zip(WANTED, uids, strict=True)]
    return elements[0] + elements[1] + between + elements[2] + elements[3]


@pytest.mark.parametrize("syntax", AllTransferSyntaxes, ids=lambda uid: uid.keyword)
def test_identifiers_are_found_in_every_transfer_syntax(syntax: UID) -> None:
    dataset = an_instance()
    content = encoded(dataset, syntax)
    if "Deflate" in syntax.keyword and syntax != DeflatedExplicitVRLittleEndian:
        content = encoded(dataset, DeflatedExplicitVRLittleEndian)  # JPIP: the dataset is deflated as well
    assert header.scan(content, syntax) == header_of(dataset)
    assert header.is_transfer_syntax(syntax)


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("is_undefined", [True, False])
def test_sequences_before_the_identifiers_are_stepped_over(syntax: UID, is_undefined: bool) -> None:
    inner, outer = Dataset(), Dataset()
    inner.ReferencedSOPInstanceUID = inner.StudyInstanceUID = "1.2.3.4"
    outer.PurposeOfReferenceCodeSequence = Sequence([inner, inner])
    dataset = an_instance(SourceImageSequence=Sequence([outer, Dataset(), outer]))
    for sequence in (dataset["SourceImageSequence"], outer["PurposeOfReferenceCodeSequence"]):
        sequence.is_undefined_length = is_undefined
    for item in (inner, outer):
        item.is_undefined_length_sequence_item = is_undefined
    assert header.scan(encoded(dataset, syntax), syntax) == header_of(dataset)


def test_an_item_whose_length_spells_a_representation_is_stepped_over() -> None:
    dataset, item = an_instance(), Dataset()
    item.add_new((0x0009, 0x0010), "LO", "CANARY")
    item.add_new((0x0009, 0x1001), "OB", bytes(int.from_bytes(b"DT", "little") - 26))
    dataset.SourceImageSequence = Sequence([item])
    dataset["SourceImageSequence"].is_undefined_length = True
    content = encoded(dataset).replace(b"\x09\0\x01\x10OB", b"\x09\0\x01\x10??")  # nobody may look inside
    assert b"\xfe\xff\x00\xe0DT\0\0" in content
    assert b"??" in content
    assert header.scan(content, ExplicitVRLittleEndian) == header_of(dataset)


def test_private_elements_of_any_size_are_stepped_over() -> None:
    dataset = an_instance()
    dataset.private_block(0x0009, "CANARY", create=True).add_new(0x01, "OB", bytes(3_000_000))
    assert header.scan(encoded(dataset), ExplicitVRLittleEndian) == header_of(dataset)


def test_the_pixels_are_not_needed() -> None:
    dataset = an_instance()
    whole = encoded(dataset, JPEGLSLossless)
    until = whole.index(b"\x20\x00\x0e\x00") + 8 + len(dataset.SeriesInstanceUID) + 1
    assert header.scan(whole[:until], JPEGLSLossless) == header_of(dataset)


def test_unknown_content_of_undefined_length_is_implicit() -> None:
    """PS3.5 section 6.2.2 note 2: an UN of undefined length holds Implicit VR Little Endian."""
    item = an_element((0x0011, 0x1001), b"ab") + an_element((0xFFFE, 0xE00D), b"")
    unknown = struct.pack("<HH2s2xI", 0x0011, 0x1000, b"UN", DELIMITED)
    unknown += an_element((0xFFFE, 0xE000), b"", DELIMITED) + item + an_element((0xFFFE, 0xE0DD), b"")
    dataset = an_instance()
    content = encoded(dataset)
    at = content.index(b"\x20\x00\x0d\x00")
    assert header.scan(content[:at] + unknown + content[at:], ExplicitVRLittleEndian) == header_of(dataset)


@pytest.mark.parametrize("padding", [b"\0", b" ", b""])
def test_padding_does_not_belong_to_a_uid(padding: bytes) -> None:
    found = header.scan(a_dataset(uids=(b"1.1", b"1.2", b"1.3", b"1.4" + padding)), ImplicitVRLittleEndian)
    assert found.series_instance_uid == "1.4"


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_missing_identifier_is_unreadable(keyword: str) -> None:
    dataset = an_instance()
    delattr(dataset, keyword)
    with pytest.raises(InstanceUnreadable):
        header.scan(encoded(dataset), ExplicitVRLittleEndian)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08",
        a_dataset()[:-1],
        a_dataset(an_element((0x0010, 0x0010), b"", 0x7FFFFFFF)),
        a_dataset(an_element((0x0010, 0x0010), b"", DELIMITED)),
        a_dataset(an_element((0x0010, 0x0010), b"", DELIMITED) * 1000),
        a_dataset(an_element((0x0010, 0x0010), b"") * (header.MOST_ELEMENTS + 1)),
        a_dataset(uids=(b"1.1", b"1.2", b"1" * 1000, b"1.4")),
        a_dataset(uids=(b"1.1", b"1.2", b"\xff\xfe", b"1.4")),
    ],
    ids=["empty", "a byte", "cut", "lying length", "no end", "deep", "many", "long UID", "no ASCII"],
)
def test_malformed_datasets_are_unreadable(content: bytes) -> None:
    with pytest.raises(InstanceUnreadable):
        header.scan(content, ImplicitVRLittleEndian)


def test_a_wrong_transfer_syntax_is_unreadable() -> None:
    with pytest.raises(InstanceUnreadable):
        header.scan(encoded(an_instance(), ImplicitVRLittleEndian), ExplicitVRLittleEndian)


def test_a_deflate_bomb_is_inflated_only_so_far() -> None:
    bomb = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    zeros = an_element((0x0008, 0x0001), bytes(50_000_000))
    with pytest.raises(InstanceUnreadable):
        header.scan(bomb.compress(zeros) + bomb.flush(), DeflatedExplicitVRLittleEndian)


@given(content=st.binary(max_size=2000), syntax=st.sampled_from(NATIVE))
def test_any_bytes_give_a_header_or_the_one_error(content: bytes, syntax: UID) -> None:
    _scanned(content, syntax)


@given(data=st.data(), syntax=st.sampled_from(NATIVE))
def test_any_damage_gives_a_header_or_the_one_error(data: st.DataObject, syntax: UID) -> None:
    dataset = an_instance("1.2.3", SourceImageSequence=Sequence([an_instance("1.2.4")]))
    content = bytearray(encoded(dataset, syntax))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    _scanned(bytes(content[: data.draw(st.integers(0, len(content)))]), syntax)


def _scanned(content: bytes, syntax: UID) -> None:
    try:
        found = header.scan(content, syntax)
    except InstanceUnreadable:
        return
    assert all(
        len(uid) <= header.LONGEST_UID_BYTES
        for uid in (found.study_instance_uid, found.series_instance_uid, found.sop_class_uid, found.sop_instance_uid)
    )


@pytest.mark.parametrize(
    "uid",
    ["", "1.2.840.10008.1.20.1x", "1.2.840.10008.1.21", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.113619.5.2", "1.2.3"],
)
def test_other_uids_are_no_transfer_syntaxes(uid: str) -> None:
    assert not header.is_transfer_syntax(uid)
