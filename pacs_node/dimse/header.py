"""The identifiers of a dataset, read from its bytes without decoding it.

Walks over elements by their lengths and reads four of them. The bytes come from the network: every length is checked,
the number of elements and the depth of sequences are limited, nothing is copied. Called from `steps.receive`.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from pacs_node.errors import InstanceUnreadable

DEEPEST = 64
"""More open sequences and items than in any dataset that is used; the standard has no limit."""
MOST_ELEMENTS = 100_000
"""Elements that are looked at before the last identifier; a chest CT has about a hundred."""
LONGEST_UID_BYTES = 128
"""Twice what PS3.5 section 9.1 allows; whether it is a UID is checked later."""
INFLATED_BYTES = 4 << 20
"""How much of a deflated dataset is inflated to find the identifiers."""

_WANTED = {
    (0x0008, 0x0016): "sop_class_uid",
    (0x0008, 0x0018): "sop_instance_uid",
    (0x0020, 0x000D): "study_instance_uid",
    (0x0020, 0x000E): "series_instance_uid",
}
_LAST = max(_WANTED)
_ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF

_SHORT_FORM = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
"""VRs whose length has two bytes (PS3.5 table 7.1-2); all others, future ones too, have four (table 7.1-1)."""

_IMPLICIT = {"1.2.840.10008.1.2", "1.2.840.10008.1.20"}
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
_TRANSFER_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.(2|20)(\.[0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Identifiers as they stand in the dataset, without padding, not yet checked."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


def is_transfer_syntax(uid: str) -> bool:
    """Whether this is a transfer syntax of DICOM, also one that is newer than this program.

    References
    ----------
    PS3.5 annex A: all but Implicit VR, Big Endian and the deflated ones encode their elements in Explicit VR Little
    Endian, whatever they do to pixels; new ones have to (section A.4).
    """
    return _TRANSFER_SYNTAX.fullmatch(uid) is not None


def scan(dataset: bytes | memoryview, transfer_syntax_uid: str) -> Header:
    """Find the identifiers.

    Parameters
    ----------
    dataset : encoded, at least up to (0020,000E)
    transfer_syntax_uid : how it is encoded

    Raises
    ------
    InstanceUnreadable : it is cut short, malformed, beyond the limits, or lacks one of them
    """
    try:
        found = _found(_Walk(_inflated(dataset, transfer_syntax_uid)), _syntax(transfer_syntax_uid))
    except (struct.error, UnicodeDecodeError, zlib.error) as error:
        raise InstanceUnreadable("the dataset is cut short or malformed") from error
    if len(found) < len(_WANTED):
        raise InstanceUnreadable
    return Header(**found)


@dataclass(frozen=True, slots=True)
class _Syntax:
    """How elements begin: tag, VR and a length of two bytes at once, or a length of four where it stands."""

    is_explicit: bool
    short: struct.Struct
    long: struct.Struct


def _made(order: str, *, is_explicit: bool) -> _Syntax:
    return _Syntax(is_explicit, struct.Struct(order + "HH2sH"), struct.Struct(order + "I"))


_IMPLICIT_LITTLE = _made("<", is_explicit=False)
_EXPLICIT_LITTLE = _made("<", is_explicit=True)
_EXPLICIT_BIG = _made(">", is_explicit=True)


def _syntax(transfer_syntax_uid: str) -> _Syntax:
    if transfer_syntax_uid in _IMPLICIT:
        return _IMPLICIT_LITTLE
    return _EXPLICIT_BIG if transfer_syntax_uid == _BIG_ENDIAN else _EXPLICIT_LITTLE


def _inflated(dataset: bytes | memoryview, transfer_syntax_uid: str) -> bytes | memoryview:
    if transfer_syntax_uid not in _DEFLATED:
        return dataset
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(dataset[:INFLATED_BYTES], INFLATED_BYTES)


def _found(walk: _Walk, syntax: _Syntax) -> dict[str, str]:
    found: dict[str, str] = {}
    while walk.at < walk.end and len(found) < len(_WANTED):
        tag, vr, length = walk.element(syntax)
        if tag > _LAST:
            break
        if tag in _WANTED:
            found[_WANTED[tag]] = walk.text(length)
        elif length == _UNDEFINED:
            walk.skip_sequence(_IMPLICIT_LITTLE if vr == b"UN" else syntax)
        else:
            walk.skip(length)
    return found


class _Walk:
    """A place in the encoded dataset."""

    __slots__ = ("at", "bytes", "end", "left")

    def __init__(self, encoded: bytes | memoryview) -> None:
        self.bytes = encoded
        self.at, self.end = 0, len(encoded)
        self.left = MOST_ELEMENTS

    def element(self, syntax: _Syntax) -> tuple[tuple[int, int], bytes, int]:
        """Tag, VR (empty if implicit) and length of the element here; the place moves on to its value."""
        at = self.at
        self.left -= 1
        if self.left < 0:
            raise InstanceUnreadable("the dataset has too many elements")
        group, number, vr, length = syntax.short.unpack_from(self.bytes, at)
        if not syntax.is_explicit or group == 0xFFFE:
            vr, length, self.at = b"", syntax.long.unpack_from(self.bytes, at + 4)[0], at + 8
        elif vr in _SHORT_FORM:
            self.at = at + 8
        elif vr.isalpha() and vr.isupper():
            length, self.at = syntax.long.unpack_from(self.bytes, at + 8)[0], at + 12
        else:
            raise InstanceUnreadable("the dataset is not encoded as its transfer syntax says")
        return (group, number), vr, length

    def skip(self, length: int) -> None:
        """Move on over a value."""
        self.at += length
        if self.at > self.end:
            raise InstanceUnreadable("the dataset is cut short")

    def text(self, length: int) -> str:
        """The value of a UID."""
        if length > LONGEST_UID_BYTES:
            raise InstanceUnreadable("the dataset has a UID that is too long")
        start = self.at
        self.skip(length)
        return bytes(self.bytes[start : self.at]).rstrip(b"\0 ").decode("ascii")

    def skip_sequence(self, syntax: _Syntax) -> None:
        """Move on over the items of a sequence of undefined length, and what is in them.

        References
        ----------
        PS3.5 section 7.5; section 6.2.2 note 2: what is in a UN of undefined length is Implicit VR Little Endian
        """
        nested = [syntax]
        while nested:
            tag, vr, length = self.element(nested[-1])
            if tag in (_ITEM_END, _SEQUENCE_END):
                nested.pop()
            elif length != _UNDEFINED:
                self.skip(length)
            elif len(nested) < DEEPEST:
                nested.append(_IMPLICIT_LITTLE if vr == b"UN" else nested[-1])
            else:
                raise InstanceUnreadable("the dataset has sequences too deep inside each other")
