"""The process that decompresses: single frames come in through a socket, their stored values go out.

The decoders are C and Rust code that gets bytes from the network, so they run here: without files to open, with a limit
on memory and processor time, and with nothing to lose when they crash. Started and asked by `inference.series.guard`.

A question is a line of JSON (`Coding`, and the length of the codestream) and the codestream; the answer is a line of
JSON, `{}` or `{"error": kind}`, and after `{}` rows x columns x 2 bytes, little endian.
"""

from __future__ import annotations

import dataclasses
import json
import math
import resource
import socket
import struct
import time
from typing import Any

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from inference.series.limits import DECODER_BYTES

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
    "1.2.840.10008.1.2.5": "pylibjpeg",
}
"""pydicom plug-in for JPEG of 12 bits, JPEG lossless, JPEG-LS, JPEG 2000, HTJ2K and RLE (PS3.5 A.4). Named, because
pydicom by itself takes pylibjpeg for JPEG-LS, which is four times slower. JPEG baseline has 8 bits: no CT numbers."""

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
    MemoryError,
    struct.error,
)
"""what pydicom and its plug-ins raise on broken data"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How one frame of grey values is coded."""

    transfer_syntax_uid: str
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored values as they are answered."""
        return np.dtype("<i2" if self.is_signed else "<u2")


def serve(file_descriptor: int) -> None:
    """Answer questions on a socket until the other end closes it."""
    for kind, most in ((resource.RLIMIT_AS, DECODER_BYTES), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(kind, (most, most))
    with socket.socket(fileno=file_descriptor) as connection, connection.makefile("rwb") as stream:
        for line in stream:
            question = json.loads(line)
            codestream = stream.read(question.pop("bytes"))
            _limit_seconds(question.pop("seconds"))
            answer, values = _answer(codestream, Coding(**question))
            stream.write(json.dumps(answer).encode() + b"\n")
            stream.write(values)
            stream.flush()


def _limit_seconds(seconds: float) -> None:
    """Let this process have so much more processor time; it is ended after that."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))


def _answer(codestream: bytes, coding: Coding) -> tuple[dict[str, str], bytes]:
    try:
        return {}, _decoded(codestream, coding)
    except UNDECODABLE as error:
        return {"error": type(error).__name__}, b""


def _decoded(codestream: bytes, coding: Coding) -> bytes:
    options = {
        "rows": coding.rows,
        "columns": coding.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": coding.bits_allocated,
        "bits_stored": coding.bits_stored,
        "pixel_representation": int(coding.is_signed),
    }
    decoder, plugin = get_decoder(coding.transfer_syntax_uid), PLUGINS[coding.transfer_syntax_uid]
    source = encapsulate([codestream], has_bot=False)
    array, _ = decoder.as_array(source, raw=True, validate=False, decoding_plugin=plugin, **options)
    return np.asarray(array, coding.dtype).reshape(coding.rows, coding.columns).tobytes()
