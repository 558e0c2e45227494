"""Instances that lie: each is a slice of an honest series with a few bytes that are not.

    sent_series(folder, "no fragments", HELD["no fragments"][1])      # what a sender sends

A hostile series has one hostile slice. What has to be decoded to be found out lies in a series that is otherwise good.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from pacs_node.domain.instance import StoreRequest
from tests.support.instances import a_request
from tests.support.series import a_series

ENOUGH = 20
"""slices of 4.5 mm in a series that is looked at further than its header"""

BEFORE_IDENTIFIERS, BEHIND_IDENTIFIERS = b"\x08\x00\x60\x00", b"\x20\x00\x11\x00"
"""Modality stands before the UIDs of study and series, Series Number behind them"""

SEQUENCE = b"\x40\x00\x75\x02SQ\0\0"
"""Request Attributes Sequence, up to its length"""
ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
UNDEFINED = b"\xff\xff\xff\xff"
PIXEL_DATA = b"\xe0\x7f\x10\x00O"
DEEP = 10_000
LARGE = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a sender sends for one instance."""

    request: StoreRequest
    dataset: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """One kind of hostile instance.

    Parameters
    ----------
    change : the honest dataset to the hostile one, both as they are sent; before it is deflated
    syntax : Transfer Syntax UID
    slices : of the series, the hostile one among them
    deflate : of the changed dataset; the others are deflated as they should be
    """

    change: Callable[[bytes], bytes]
    syntax: str = ExplicitVRLittleEndian
    slices: int = 1
    deflate: Callable[[bytes], bytes] | None = None


def sent_series(folder: Path, name: str, kind: Hostile) -> list[Sent]:
    """A series with one instance of a kind; the study is named like it."""
    syntax = ExplicitVRLittleEndian if kind.deflate else kind.syntax
    paths = a_series(folder, slices=kind.slices, spacing_mm=4.5, study=name, transfer_syntax=syntax)
    sent = []
    for number, path in enumerate(paths):
        request, content = a_request(pydicom.dcmread(path), syntax), path.read_bytes()
        dataset = content[144 + int.from_bytes(content[140:144], "little") :]
        is_hostile = number == kind.slices // 2
        if is_hostile:
            dataset = kind.change(dataset)
        if kind.deflate:
            dataset = kind.deflate(dataset) if is_hostile else deflated(dataset)
            request = dataclasses.replace(request, transfer_syntax_uid=str(kind.syntax))
        sent.append(Sent(request=request, dataset=dataset))
    return sent


def deflated(dataset: bytes, zeros: int = 0) -> bytes:
    """As PS3.5 A.5 asks for, and so many megabytes of zeros behind it."""
    deflater = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [dataset, *[bytes(1 << 20)] * zeros]
    return b"".join(map(deflater.compress, parts)) + deflater.flush()


def with_zeros(dataset: bytes) -> bytes:
    """Deflated, and followed by 400 MB of zeros that take 2 MB."""
    return deflated(dataset, zeros=400)


def put(addition: bytes, before: bytes) -> Callable[[bytes], bytes]:
    """Bytes before an element, given by its tag."""
    return lambda dataset: _cut(dataset, before)[0] + addition + _cut(dataset, before)[1]


def only_before(addition: bytes, before: bytes) -> Callable[[bytes], bytes]:
    """Bytes instead of an element and all that follows it."""
    return lambda dataset: _cut(dataset, before)[0] + addition


def stating(**values: int) -> Callable[[bytes], bytes]:
    """Other Rows or Columns than there are."""
    tags = {"rows": b"\x28\x00\x10\x00US\x02\x00", "columns": b"\x28\x00\x11\x00US\x02\x00"}

    def change(dataset: bytes) -> bytes:
        for name, value in values.items():
            before, after = _cut(dataset, tags[name])
            dataset = before + tags[name] + struct.pack("<H", value) + after[10:]
        return dataset

    return change


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """The last of some bytes replaced."""

    def change(dataset: bytes) -> bytes:
        before, found, after = dataset.rpartition(old)
        assert found
        return before + new + after

    return change


def pixels(content: bytes) -> Callable[[bytes], bytes]:
    """Other encapsulated pixels; the length is undefined."""
    return lambda dataset: _cut(dataset, PIXEL_DATA)[0] + PIXEL_DATA + b"B\0\0" + UNDEFINED + content


def with_another_uid(dataset: bytes) -> bytes:
    """With the first digit of the SOP Instance UID changed."""
    before, after = _cut(dataset, b"\x08\x00\x18\x00UI")
    return before + after[:8] + b"2" + after[9:]


def fragment(content: bytes) -> bytes:
    """An item of encapsulated pixels."""
    return ITEM + struct.pack("<I", len(content)) + content


def deep(levels: int) -> bytes:
    """Sequences of undefined length inside each other."""
    return (SEQUENCE + UNDEFINED + ITEM + UNDEFINED) * levels + (ITEM_END + SEQUENCE_END) * levels


def deep_with_lengths(levels: int) -> bytes:
    """The same with lengths."""
    parts, length = [], 0
    for _ in range(levels):
        parts.append(SEQUENCE + struct.pack("<I", length + 8) + ITEM + struct.pack("<I", length))
        length += 20
    return b"".join(reversed(parts))


def jpeg2000_of(side: int) -> bytes:
    """The beginning of a JPEG 2000 codestream (T.800 A.5.1) that claims to be so large, in one tile."""
    size = struct.pack(">HHIIIIIIIIH", 41, 0, side, side, 0, 0, side, side, 0, 0, 1) + b"\x0f\x01\x01"
    style = struct.pack(">HBBHBBBBBB", 12, 0, 0, 65535, 0, 0, 4, 4, 0, 1)
    quantisation = struct.pack(">HBB", 4, 0x40, 0x80)
    return b"\xff\x4f\xff\x51" + size + b"\xff\x52" + style + b"\xff\x5c" + quantisation + b"\xff\xd9"


def jpeg_of(side: int, marker: int) -> bytes:
    """The beginning of a JPEG (SOF3) or JPEG-LS (SOF55) stream that claims to be so large (T.81 B.2.2)."""
    return b"\xff\xd8\xff" + bytes([marker]) + struct.pack(">HBHHBBBB", 11, 16, side, side, 1, 1, 0x11, 0) + b"\xff\xd9"


def _cut(dataset: bytes, tag: bytes) -> tuple[bytes, bytes]:
    at = dataset.index(tag)
    return dataset[:at], dataset[at:]


REFUSED: dict[str, tuple[int, Hostile]] = {
    "deflated zeros": (
        0xC000,
        Hostile(change=lambda _: b"", syntax=DeflatedExplicitVRLittleEndian, deflate=with_zeros),
    ),
    "deep sequences before the identifiers": (0xC000, Hostile(change=put(deep(DEEP), BEFORE_IDENTIFIERS))),
    "a sequence without end before the identifiers": (
        0xC000,
        Hostile(change=put(SEQUENCE + UNDEFINED + ITEM + UNDEFINED, BEFORE_IDENTIFIERS)),
    ),
    "a length that lies before the identifiers": (
        0xC000,
        Hostile(change=put(b"\x08\x00\x50\x00UT\0\0\xfe\xff\xff\xff", BEFORE_IDENTIFIERS)),
    ),
    "cut short before the identifiers": (0xC000, Hostile(change=only_before(b"", BEFORE_IDENTIFIERS))),
    "another instance than announced": (
        0xA900,
        Hostile(change=with_another_uid),
    ),
}  # fmt: skip
"""kind: what a C-STORE of it is answered, and how it is made"""

HELD: dict[str, tuple[str, Hostile]] = {
    "deflated zeros before the pixels": (
        "series.header-too-large",
        Hostile(
            change=only_before(b"\x20\x00\x00\x40UT\0\0" + struct.pack("<I", LARGE), b"\x28\x00\x02\x00"),
            syntax=DeflatedExplicitVRLittleEndian,
            deflate=with_zeros,
        ),
    ),
    "deflated zeros behind the pixels": (
        "series.no-lungs",  # so all of it was analysed
        Hostile(
            change=lambda dataset: dataset,
            syntax=DeflatedExplicitVRLittleEndian,
            deflate=with_zeros,
            slices=ENOUGH,
        ),
    ),
    "a header of many elements": (
        "series.header-too-large",
        Hostile(
            change=put(b"".join(struct.pack("<HHI", 0x21, n, 0) for n in range(60_000)) * 4, b"\x28\x00\x02\x00"),
            syntax=ImplicitVRLittleEndian,
        ),
    ),
    "a text of a megabyte": (
        "series.header-too-large",
        Hostile(
            change=lambda dataset: b"\x08\x00\x05\x00" + struct.pack("<I", 1 << 20) + b"\\" * (1 << 20) + dataset,
            syntax=ImplicitVRLittleEndian,
        ),
    ),
    "deep sequences": ("series.header-too-deep", Hostile(change=put(deep(DEEP), BEHIND_IDENTIFIERS))),
    "deep sequences with lengths": (
        "series.header-too-deep",
        Hostile(change=put(deep_with_lengths(DEEP), BEHIND_IDENTIFIERS)),
    ),
    "a sequence without end": (
        "series.no-pixels",
        Hostile(change=put(SEQUENCE + UNDEFINED + ITEM + UNDEFINED, BEHIND_IDENTIFIERS)),
    ),
    "a length that lies": (
        "series.no-pixels",
        Hostile(change=put(b"\x20\x00\x00\x40UT\0\0\xfe\xff\xff\xff", BEHIND_IDENTIFIERS)),
    ),
    "absurd rows and columns": ("series.oversized", Hostile(change=stating(rows=65535, columns=65535))),
    "absurd frames": (
        "series.oversized",
        Hostile(change=put(b"\x28\x00\x08\x00IS\x0a\x002147483646", b"\x28\x00\x10\x00")),
    ),
    "pixels cut short": ("series.truncated", Hostile(change=lambda dataset: dataset[:-1000])),
    "no fragments": (
        "series.unreadable",
        Hostile(change=pixels(fragment(b"") + SEQUENCE_END), syntax=RLELossless, slices=ENOUGH),
    ),
    "a fragment whose length lies": (
        "series.unreadable",
        Hostile(change=pixels(fragment(b"") + ITEM + b"\xfe\xff\xff\xff"), syntax=RLELossless, slices=ENOUGH),
    ),
    "fragments without end": (
        "series.unreadable",
        Hostile(change=pixels(fragment(b"") * 1_000_000), syntax=RLELossless, slices=ENOUGH),
    ),
    "RLE of too many bytes": (
        "series.unreadable",
        Hostile(
            change=pixels(
                fragment(b"") + fragment(struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\x00" * 4000) + SEQUENCE_END
            ),
            syntax=RLELossless,
            slices=ENOUGH,
        ),
    ),
    "JPEG 2000 of another size": (
        "series.unreadable",
        Hostile(
            change=pixels(fragment(b"") + fragment(jpeg2000_of(60_000)) + SEQUENCE_END),
            syntax=JPEG2000Lossless,
            slices=ENOUGH,
        ),
    ),
    "JPEG 2000 without data": (
        "series.unreadable",
        Hostile(
            change=pixels(fragment(b"") + fragment(jpeg2000_of(64)) + SEQUENCE_END),
            syntax=JPEG2000Lossless,
            slices=ENOUGH,
        ),
    ),
    "JPEG-LS of another size": (
        "series.unreadable",
        Hostile(
            change=pixels(fragment(b"") + fragment(jpeg_of(65_535, 0xF7)) + SEQUENCE_END),
            syntax=JPEGLSLossless,
            slices=ENOUGH,
        ),
    ),
}  # fmt: skip
"""kind: a reason why its series is not analysed, and how it is made"""
