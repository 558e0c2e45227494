"""Heads that repeat what another slice said, told without a parser: it takes a tenth of the time.

The slices of a series differ in little that is read of them. A walk over tags and lengths takes out of a head what is
read; where the same was read of another one, and parsed, only three values are new. Only plain heads are walked:
Explicit VR Little Endian with ascending tags, whole in the first 64 kB, one frame, nothing broken or beyond a limit.
All others, and the first of each kind, go the slow way. Called from `inference.series.headers`.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TypeVar

from pydicom.charset import default_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_sequence
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from inference.series.attributes import BROKEN_SEQUENCE
from inference.series.codec import PLUGINS
from inference.series.files import EXPLICIT_LITTLE_ENDIAN, MAGIC, META_START, PREAMBLE_BYTES, is_deflated
from inference.series.head import FRAGMENTED, PIXEL_DATA, UNDEFINED_LENGTH, PixelExtent, sequence_end

Key = TypeVar("Key")
Value = TypeVar("Value")

PLAIN_SYNTAXES = frozenset(PLUGINS) | {EXPLICIT_LITTLE_ENDIAN}
"""Transfer Syntax UIDs in which heads are explicit little endian (PS3.5 A.2, A.4)"""

SOP_INSTANCE, INSTANCE_NUMBER, IMAGE_POSITION = 0x00080018, 0x00200013, 0x00200032
OWN = {SOP_INSTANCE: "UI", INSTANCE_NUMBER: "IS", IMAGE_POSITION: "DS"}
"""tag and VR of what every slice has for itself"""

MOST_KINDS, MOST_SEQUENCES = 4096, 64
"""that are remembered; a CT has some hundred kinds of elements and a dozen sequences"""

META = range(0x00020000, 0x00030000)
UNREAD_META = frozenset({0x00020000, 0x00020003})
"""the length, which is looked at apart, and the SOP Instance UID once more"""
DATASET = range(0x00080000, PIXEL_DATA[-1] + 1)
GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"

FRAMES = frozenset(tag_for_keyword(f"{kind}FunctionalGroupsSequence") for kind in ("Shared", "PerFrame"))
VRS = frozenset(str(vr) for vr in VR if len(vr) == 2)

_Kind = tuple[int, int, int]
"""tag, bytes up to the next element, and what of it is taken; of an odd one the tag is 0"""
_NOTHING, _ALL, _VALUE, _BY_LENGTH, _PIXELS = range(5)
_ODD = (0, 0, _NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainHead:
    """What is read of a plain head.

    Parameters
    ----------
    common : what is alike in most slices of a series; heads with the same differ in nothing that is read but the rest
    own : values by tag, of `OWN`
    pixels : where they lie
    """

    common: tuple[bytes, ...]
    own: dict[int, bytes]
    pixels: PixelExtent


@dataclass(slots=True)
class _Taken:
    common: list[bytes] = field(default_factory=list)
    own: dict[int, bytes] = field(default_factory=dict)


class PlainHeads:
    """Takes what is read out of plain heads; remembers elements from one to the next.

    Parameters
    ----------
    tags : of all that is read
    """

    def __init__(self, tags: Collection[int]) -> None:
        self._tags = frozenset(tags)
        self._kinds: dict[bytes, _Kind] = {}
        self._sequences: dict[int, bytes] = {}

    def taken(self, content: bytes) -> PlainHead | None:
        """What is read of the head that a file begins with; None if it is not plain, or not whole in the content."""
        length_at = META_START + len(GROUP_LENGTH)
        meta_end = length_at + 4 + int.from_bytes(content[length_at : length_at + 4], "little")
        meta = content[META_START:meta_end]
        if content[PREAMBLE_BYTES:META_START] != MAGIC or not meta.startswith(GROUP_LENGTH) or is_deflated(meta):
            return None
        taken = _Taken()
        if self._walked(content[:meta_end], META_START, META, taken) != meta_end:
            return None
        at = self._walked(content, meta_end, DATASET, taken)
        if at is None or at + 12 > len(content):
            return None
        length = int.from_bytes(content[at + 8 : at + 12], "little")
        pixels = PixelExtent(offset=at + 12, length=None if length == UNDEFINED_LENGTH else length)
        return PlainHead(common=tuple(taken.common), own=taken.own, pixels=pixels)

    def _walked(self, content: bytes, at: int, tags: range, taken: _Taken) -> int | None:
        """Where the pixels or else the content ends, from a place on; None if not all that is between is plain."""
        kinds, common, last, highest = self._kinds, taken.common, tags.start - 1, tags.stop - 1
        while at < len(content):
            header = content[at : at + 8]
            tag, size, part = kinds.get(header) or self._learnt(header)
            if not last < tag <= highest:
                return None
            last, end = tag, at + size
            if part == _ALL:
                common.append(content[at:end])
            elif part == _VALUE:
                common.append(header[:6])
                taken.own[tag] = content[at + 8 : end]
            elif part == _PIXELS:
                return at
            elif part == _BY_LENGTH:
                end = self._long_end(content, at, tag, taken)
            at = end
        return at

    def _long_end(self, content: bytes, at: int, tag: int, taken: _Taken) -> int:
        """Behind an element whose length has 32 bits; beyond the end of the content if it is not plain."""
        length = int.from_bytes(content[at + 8 : at + 12], "little")
        end: int | None = at + 12 + length
        if content[at + 4 : at + 6] == b"SQ":
            end = self._sequence_end(content, at, tag, length)
        elif length == UNDEFINED_LENGTH:
            end = None
        if end is None:
            return len(content) + 1
        if tag in self._tags or tag in META:
            taken.common.append(content[at:end])
        return end

    def _sequence_end(self, content: bytes, at: int, tag: int, length: int) -> int | None:
        known = self._sequences.get(tag)
        if known is not None and content.startswith(known, at):
            return at + len(known)
        end = sequence_end(content, at + 12, length)
        if end is not None and length == UNDEFINED_LENGTH and not _is_parsed(content[at + 12 : end]):
            return None
        if end is not None:
            remember(self._sequences, tag, content[at:end], MOST_SEQUENCES)
        return end

    def _learnt(self, header: bytes) -> _Kind:
        kind = self._kind(header) if len(header) == 8 else _ODD
        remember(self._kinds, header, kind, MOST_KINDS)
        return kind

    def _kind(self, header: bytes) -> _Kind:
        group, element, name, length = struct.unpack("<HH2sH", header)
        tag, vr = group << 16 | element, name.decode("latin-1")
        if vr not in VRS or tag in FRAMES or (tag in PIXEL_DATA and not (tag == PIXEL_DATA[-1] and vr in FRAGMENTED)):
            return _ODD
        if tag in PIXEL_DATA:
            return tag, 0, _PIXELS
        if tag in OWN:
            return (tag, 8 + length, _VALUE) if vr == OWN[tag] else _ODD
        if vr in EXPLICIT_VR_LENGTH_32:
            return tag, 0, _BY_LENGTH
        is_read = tag in self._tags or (tag in META and tag not in UNREAD_META)
        return tag, 8 + length, _ALL if is_read else _NOTHING


def _is_parsed(items: bytes) -> bool:
    """Whether a parser finds the same end of a sequence without length; it may not where what is inside is broken."""
    file = io.BytesIO(items)
    try:
        read_sequence(
            file, is_implicit_VR=False, is_little_endian=True, bytelength=UNDEFINED_LENGTH, encoding=default_encoding
        )
    except BROKEN_SEQUENCE:
        return False
    return file.tell() == len(items)


def remember(known: dict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Know one thing more; forget all others where there is no end to what is new."""
    if len(known) >= most:
        known.clear()
    known[key] = value
