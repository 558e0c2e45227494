"""The head of a file: what stands before its pixels, cut and weeded until a parser can be given it.

A walk over tags and lengths, without recursion and without looking at values, finds where the pixels begin. What is
too deep or too long for its kind is left out, so that the rest can still say whose it is. Private and bulk values are
left out too: nobody here reads them. Called from `inference.series.headers` and `pacs_node.report.stored`.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from inference.errors import SeriesUnreadable
from inference.series.files import MAGIC, PREAMBLE_BYTES, disk_errors, open_instance
from inference.series.limits import MAX_DEPTH, MAX_ELEMENTS, MAX_HEADER_BYTES, MAX_ITEMS, MAX_TEXT_BYTES, Excess

CHUNK_BYTES = 2**16
"""read at first; the head of most CT instances is shorter"""

IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

PIXEL_DATA = range(0x7FE00008, 0x7FE00011)
"""Float, Double Float and integer Pixel Data (PS3.6)"""

UNDEFINED_LENGTH = 0xFFFFFFFF
BULK = frozenset(vr for vr in EXPLICIT_VR_LENGTH_32 if vr != "SQ")
FRAGMENTED = frozenset({"OB", "OW"})
_TRANSFER_SYNTAX = 0x00020010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelExtent:
    """Offset and stated length of the value of the integer Pixel Data of a file; None if undefined."""

    offset: int
    length: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a file.

    Parameters
    ----------
    content : a DICOM file without pixels that can be parsed: whole elements only, from the preamble on
    excess : the limit because of which something is missing from it
    pixels : None if the file has no integer Pixel Data, or ends before them
    """

    content: bytes
    excess: Excess | None
    pixels: PixelExtent | None


def read_head(path: Path) -> Head:
    """The head of a file.

    Raises
    ------
    SeriesUnreadable : the file is missing, is not DICOM, or deflated and broken
    SeriesInaccessible : the disk fails
    """
    with open_instance(path) as file, disk_errors():
        return head_of(file)


def head_of(file: BinaryIO) -> Head:
    """The head of a file that `open_instance` opened; it is read from its beginning."""
    walk = _Walk(file)
    if walk.content[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] != MAGIC:
        raise SeriesUnreadable("a file of the series cannot be read as DICOM (it has no prefix)")
    try:
        walk.run()
    except _EndOfFile:
        pass
    except _TooLong:
        walk.excess = Excess.SIZE
    return Head(content=b"".join(walk.kept), excess=walk.excess, pixels=walk.pixels)


def sequence_end(content: bytes, at: int, length: int) -> int | None:
    """Where a sequence of explicit little endian ends that begins at a place in the beginning of a file.

    Parameters
    ----------
    length : as it is stated

    Returns
    -------
    None if it does not end where it says, or where the content does, or if something in it is beyond a limit
    """
    walk = _Walk(io.BytesIO(content))
    walk.at = at
    try:
        is_within = walk.skip_nested(_opened(at, "SQ", length, is_implicit=False))
    except (_EndOfFile, _TooLong):
        return None
    return walk.at if is_within and length in (walk.at - at, UNDEFINED_LENGTH) else None


class _EndOfFile(Exception):
    """The file ends within an element."""


class _TooLong(Exception):
    """There is more before the pixels than is read."""


@dataclass(slots=True)
class _Open:
    """A sequence, an item, or the fragments of a value, that is not over yet."""

    end: int | None
    is_implicit: bool
    holds: str


class _Walk:
    """A place in a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.content = file.read(CHUNK_BYTES)
        self.at = PREAMBLE_BYTES + len(MAGIC)
        self.kept = [self.content[: self.at]]
        self.excess: Excess | None = None
        self.pixels: PixelExtent | None = None
        self._elements = self._items = 0
        self._is_implicit = False
        self._order = "<"
        self._syntax = ""

    def run(self) -> None:
        """Go to the pixels, or to the end."""
        is_meta = True
        while self._has(8):
            start = self.at
            if is_meta and self.content[start : start + 2] != b"\x02\x00":
                is_meta = False
                self._enter_dataset()
            tag, vr, length = self._element(self._is_implicit)
            self._count(tag)
            if tag in PIXEL_DATA:
                if tag == PIXEL_DATA[-1]:
                    self.pixels = PixelExtent(offset=self.at, length=None if length == UNDEFINED_LENGTH else length)
                return
            is_wanted = self._skip_value(tag, vr, length)
            if tag == _TRANSFER_SYNTAX:
                self._syntax = self.content[self.at - length : self.at].decode("latin-1").rstrip("\0 ")
            if is_wanted:
                self.kept.append(self.content[start : self.at])

    def _enter_dataset(self) -> None:
        """Take the encoding from the transfer syntax, or, where it lies, from the first element, as pydicom does."""
        self._order = ">" if self._syntax == BIG_ENDIAN else "<"
        vr = self.content[self.at + 4 : self.at + 6]
        self._is_implicit = not _is_vr(vr)

    def _skip_value(self, tag: int, vr: str, length: int) -> bool:
        """Go behind the value of an element at the top; whether it is worth keeping and within the limits."""
        if vr == "SQ" or length == UNDEFINED_LENGTH:
            is_within = self.skip_nested(_opened(self.at, vr, length, is_implicit=self._is_implicit))
            return is_within and not tag >> 16 & 1
        is_within = self._skip_plain(vr, length)
        return is_within and not tag >> 16 & 1 and (vr not in BULK or length <= MAX_TEXT_BYTES)

    def skip_nested(self, outermost: _Open) -> bool:
        """Go behind a sequence or fragments; whether nothing in it was beyond a limit."""
        is_within, opened = True, [outermost]
        while opened:
            inner = opened[-1]
            if inner.end is not None and self.at >= inner.end:
                opened.pop()
                continue
            is_implicit = inner.is_implicit or inner.holds != "elements"
            tag, vr, length = self._element(is_implicit)
            if tag in (_ITEM_END, _SEQUENCE_END):  # not counted: there are no more of them than of what they end
                opened.pop()
                continue
            self._count(tag)
            if tag == _ITEM and inner.holds == "items":
                opened.append(_Open(_end(self.at, length), inner.is_implicit, "elements"))
            elif inner.holds == "elements" and (vr == "SQ" or length == UNDEFINED_LENGTH):
                opened.append(_opened(self.at, vr, length, is_implicit=inner.is_implicit))
                is_within &= self._is_shallow(len(opened))
            else:
                is_within &= self._skip_plain(vr, length)
        return is_within

    def _is_shallow(self, opened: int) -> bool:
        if opened // 2 < MAX_DEPTH:
            return True
        self.excess = Excess.DEPTH
        return False

    def _skip_plain(self, vr: str, length: int) -> bool:
        self._need(length)
        self.at += length
        if length <= MAX_TEXT_BYTES or vr in BULK:
            return True
        self.excess = self.excess or Excess.SIZE
        return False

    def _element(self, is_implicit: bool) -> tuple[int, str, int]:
        """Tag, VR and length of the element here; the place moves on to its value."""
        self._need(8)
        group, element = struct.unpack_from(f"{self._order}HH", self.content, self.at)
        tag, vr = group << 16 | element, self.content[self.at + 4 : self.at + 6]
        self.at += 8
        if is_implicit or group == 0xFFFE or not _is_vr(vr):
            (length,) = struct.unpack_from(f"{self._order}I", self.content, self.at - 4)
            is_known = group != 0xFFFE and dictionary_has_tag(tag)
            return tag, dictionary_VR(tag).split(" or ")[-1] if is_known else "UN", length
        name = vr.decode("ascii")
        if name not in EXPLICIT_VR_LENGTH_32:
            return tag, name, struct.unpack_from(f"{self._order}H", self.content, self.at - 2)[0]
        self._need(4)
        self.at += 4
        return tag, name, struct.unpack_from(f"{self._order}I", self.content, self.at - 4)[0]

    def _count(self, tag: int) -> None:
        self._items += tag == _ITEM
        self._elements += tag != _ITEM
        if self._elements > MAX_ELEMENTS or self._items > MAX_ITEMS:
            raise _TooLong

    def _need(self, count: int) -> None:
        if not self._has(count):
            raise _EndOfFile

    def _has(self, count: int) -> bool:
        """Whether so many bytes follow; they are read if need be."""
        missing = self.at + count - len(self.content)
        if missing > 0:
            self.content += self._file.read(min(max(missing, len(self.content)), MAX_HEADER_BYTES - len(self.content)))
            if self.at + count > len(self.content) >= MAX_HEADER_BYTES:
                raise _TooLong
        return self.at + count <= len(self.content)


def _opened(at: int, vr: str, length: int, *, is_implicit: bool) -> _Open:
    """The value of an element that holds items; in a UN of undefined length they are implicit (PS3.5 6.2.2)."""
    is_fragmented = vr in FRAGMENTED
    return _Open(_end(at, length), is_implicit or vr == "UN", "fragments" if is_fragmented else "items")


def _end(at: int, length: int) -> int | None:
    return None if length == UNDEFINED_LENGTH else at + length


def _is_vr(text: bytes) -> bool:
    return len(text) == 2 and b"A" <= text[:1] <= b"Z" and b"A" <= text[1:] <= b"Z"
