"""From a file to the stored values of its frames. Called from `inference.series.pixels`.

Before a decoder allocates anything, the size that the codestream states is compared with the header's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder

from inference.errors import SeriesUnreadable
from inference.series.files import open_instance
from inference.series.slices import PixelLayout, SliceHeader

StoredArray = NDArray[np.integer]

NATIVE = {
    "1.2.840.10008.1.2": "<",
    "1.2.840.10008.1.2.1": "<",
    "1.2.840.10008.1.2.1.99": "<",
    "1.2.840.10008.1.2.2": ">",
}
"""byte order of implicit, explicit, deflated and big endian, whose pixels are not compressed (PS3.5 A.1 to A.5)"""

RLE = "1.2.840.10008.1.2.5"
PLUGINS = {
    "1.2.840.10008.1.2.4.51": "pylibjpeg",
    "1.2.840.10008.1.2.4.57": "pylibjpeg",
    "1.2.840.10008.1.2.4.70": "pylibjpeg",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg",
    RLE: "pylibjpeg",
}
"""pydicom plug-in for JPEG of 12 bits, JPEG lossless, JPEG-LS, JPEG 2000, HTJ2K and RLE (PS3.5 A.4). Named, because
pydicom by itself takes pylibjpeg for JPEG-LS, which is four times slower. JPEG baseline has 8 bits: no CT numbers."""

DECODABLE = frozenset(NATIVE) | frozenset(PLUGINS)
"""Transfer Syntax UIDs that can be read"""

UNDECODABLE = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OSError,
    NotImplementedError,
    struct.error,
)
"""what pydicom and its plug-ins raise on broken data"""

START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""JPEG markers SOF0 to SOF15 without DHT, JPG and DAC; SOF55 of JPEG-LS"""


def stored_frames(instance: SliceHeader, layout: PixelLayout) -> Iterator[StoredArray]:
    """The stored values of every frame of the file, in order; shape (row, column), 16 bits, any byte order.

    Raises
    ------
    SeriesUnreadable : the file is gone, cut short or broken, or a frame is not of the size that the header says
    """
    try:
        if instance.transfer_syntax_uid in NATIVE:
            yield from _native_frames(instance, layout)
        else:
            yield from _decoded_frames(instance, layout)
    except UNDECODABLE as error:
        raise SeriesUnreadable(f"the pixels of an instance cannot be decoded ({type(error).__name__})") from error


def _native_frames(instance: SliceHeader, layout: PixelLayout) -> Iterator[StoredArray]:
    dtype = np.dtype(f"{NATIVE[instance.transfer_syntax_uid]}{'i' if layout.signed else 'u'}2")
    shape = (instance.rows or 0, instance.columns or 0)
    with open_instance(instance.path) as file:
        file.seek(layout.offset)
        for _ in range(layout.frames):
            data = file.read(shape[0] * shape[1] * dtype.itemsize)
            yield np.frombuffer(data, dtype).reshape(shape)


def _decoded_frames(instance: SliceHeader, layout: PixelLayout) -> Iterator[StoredArray]:
    syntax = instance.transfer_syntax_uid
    with open_instance(instance.path) as file:
        file.seek(layout.offset)
        data = file.read(layout.length)
    if syntax != RLE:  # whose decoder is told the size
        for frame in generate_frames(data, number_of_frames=layout.frames):
            if codestream_size(frame) != (instance.rows, instance.columns, layout.samples):
                raise SeriesUnreadable("a compressed frame is not of the size that the header says")
    decoder = get_decoder(syntax)
    options = {
        "rows": instance.rows,
        "columns": instance.columns,
        "number_of_frames": layout.frames,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
    }
    frames = decoder.iter_array(data, raw=True, validate=False, decoding_plugin=PLUGINS[syntax], **options)
    yield from (array for array, _ in frames)


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
