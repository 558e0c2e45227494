"""From a file to the stored values of its frames. Called from `inference.series.pixels`.

Before a decoder allocates anything, the size that the codestream states is compared with the header's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import BinaryIO

from pydicom.encaps import generate_frames

from inference.errors import SeriesUnreadable
from inference.series.codec import PLUGINS, UNDECODABLE, Coding
from inference.series.files import disk_errors, open_instance, skip
from inference.series.guard import Decoder, StoredArray
from inference.series.limits import CODESTREAM_BYTES, CODESTREAM_RATIO
from inference.series.slices import PixelLayout, SliceHeader

NATIVE = {
    "1.2.840.10008.1.2": "<",
    "1.2.840.10008.1.2.1": "<",
    "1.2.840.10008.1.2.1.99": "<",
    "1.2.840.10008.1.2.2": ">",
}
"""byte order of implicit, explicit, deflated and big endian, whose pixels are not compressed (PS3.5 A.1 to A.5)"""

RLE = "1.2.840.10008.1.2.5"

DECODABLE = frozenset(NATIVE) | frozenset(PLUGINS)
"""Transfer Syntax UIDs that can be read"""

TOO_FEW_FRAMES = "an instance holds fewer frames than its header says"

START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""JPEG markers SOF0 to SOF15 without DHT, JPG and DAC; SOF55 of JPEG-LS"""


def read_frames(
    instance: SliceHeader, layout: PixelLayout, places: Mapping[int, StoredArray], decoder: Decoder
) -> Iterator[int]:
    """Read frames of a file to where they belong, each when it is asked for.

    Parameters
    ----------
    places : by the index of the frame in the file, for its stored values; shape (row, column), 16 bits, contiguous,
        signed as `layout` says

    Returns
    -------
    the index of each frame, in ascending order, as soon as it is in its place

    Raises
    ------
    SeriesUnreadable : the file is gone, cut short or broken, or a frame is not of the size that the header says
    SeriesInaccessible : the disk fails
    DecoderStopped : see `inference.series.guard`
    """
    if any(place.shape != (instance.rows, instance.columns) for place in places.values()):
        raise SeriesUnreadable("a frame is not of the size that the header says")
    if max(places) >= layout.frames:
        raise SeriesUnreadable(TOO_FEW_FRAMES)
    try:
        with disk_errors():
            if instance.transfer_syntax_uid in NATIVE:
                yield from _native_frames(instance, layout, places)
            else:
                yield from _decoded_frames(instance, layout, places, decoder)
    except UNDECODABLE as error:
        raise SeriesUnreadable(f"the pixels of an instance cannot be decoded ({type(error).__name__})") from error


def _native_frames(instance: SliceHeader, layout: PixelLayout, places: Mapping[int, StoredArray]) -> Iterator[int]:
    with open_instance(instance.path) as file:
        skip(file, layout.offset)
        following = 0
        for index, place in sorted(places.items()):
            skip(file, (index - following) * place.nbytes)
            following = index + 1
            if file.readinto(place.data.cast("B")) < place.nbytes:  # type: ignore[attr-defined]
                raise EOFError
            if NATIVE[instance.transfer_syntax_uid] == ">":
                place.byteswap(inplace=True)
            yield index


def _decoded_frames(
    instance: SliceHeader, layout: PixelLayout, places: Mapping[int, StoredArray], decoder: Decoder
) -> Iterator[int]:
    coding = Coding(
        transfer_syntax_uid=instance.transfer_syntax_uid,
        rows=instance.rows or 0,
        columns=instance.columns or 0,
        bits_allocated=layout.bits_allocated,
        bits_stored=layout.bits_stored,
        is_signed=layout.signed,
    )
    with open_instance(instance.path) as file:
        file.seek(layout.offset)
        rationed = _Rationed(file, CODESTREAM_RATIO * coding.rows * coding.columns * 2 + CODESTREAM_BYTES)
        frames = islice(generate_frames(rationed, number_of_frames=layout.frames), max(places) + 1)
        index = -1
        for index, codestream in enumerate(frames):
            rationed.renew()
            if index not in places:
                continue
            size = (instance.rows, instance.columns, layout.samples)
            if coding.transfer_syntax_uid != RLE and codestream_size(codestream) != size:  # RLE's decoder is told it
                raise SeriesUnreadable("a compressed frame is not of the size that the header says")
            places[index][:] = decoder.decode(codestream, coding)
            yield index
        if index < max(places):
            raise SeriesUnreadable(TOO_FEW_FRAMES)


class _Rationed:
    """A file of which no more is read for each frame than a frame can need, whatever the lengths in it say."""

    def __init__(self, file: BinaryIO, ration_bytes: int) -> None:
        self._file = file
        self._ration_bytes = self._left = ration_bytes
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int) -> bytes:
        self._left -= count
        if self._left < 0:
            raise SeriesUnreadable("a compressed frame is longer than any of its size can be")
        return self._file.read(count)

    def renew(self) -> None:
        self._left = self._ration_bytes


def codestream_size(frame: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and components that a JPEG, JPEG-LS or JPEG 2000 codestream states; None if it is none of them.

    References
    ----------
    ITU-T T.81 B.2.2 and T.87 C.2.2 (frame header), ITU-T T.800 A.5.1 (SIZ)
    """
    if frame[:4] == b"\xff\x4f\xff\x51":
        width, height, left, top = struct.unpack(">4I", frame[8:24])
        return height - top, width - left, int.from_bytes(frame[40:42])
    position = 2
    while frame[:2] == b"\xff\xd8" and frame[position : position + 1] == b"\xff":
        marker, length = struct.unpack(">BH", frame[position + 1 : position + 4])
        if marker in START_OF_FRAME:
            rows, columns, components = struct.unpack(">HHB", frame[position + 5 : position + 10])
            return rows, columns, components
        position += 2 + length
    return None
