"""Files of instances: finding them and opening them, deflated ones so that they are inflated as they are read.

Called from `inference.series.head` and `inference.series.decoding`; `find_files` also from `pulmonode series analyse`.
"""

from __future__ import annotations

import errno
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from inference.errors import SeriesInaccessible, SeriesUnreadable

PREAMBLE_BYTES = 128
MAGIC = b"DICM"
META_START = PREAMBLE_BYTES + len(MAGIC)
DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
"""Transfer syntaxes whose whole dataset is deflated (PS3.6 table A-1); the last two belong to JPIP."""
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
INFLATED_CHUNK_BYTES = 2**16

_GROUP_LENGTH_BYTES = 12
_MEDIA_STORAGE_CLASS = b"\x02\x00\x02\x00"
_TRANSFER_SYNTAX = b"\x02\x00\x10\x00"
_DICOMDIR = "1.2.840.10008.1.3.10"


class InflatedInstance(io.BufferedReader):
    """A deflated dataset (PS3.5 A.5) as an explicit little endian instance, with the shortest header that says so.

    It can only be read forwards, and no more of it is inflated than is read: a few kB can inflate to any size.
    """

    def __init__(self, deflated: BinaryIO) -> None:
        super().__init__(_Inflater(deflated), INFLATED_CHUNK_BYTES)


class _Inflater(io.RawIOBase):
    """Inflates into the buffers that it is given."""

    def __init__(self, deflated: BinaryIO) -> None:
        self._deflated = deflated
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._ready = bytes(PREAMBLE_BYTES) + MAGIC + _uid_element(_TRANSFER_SYNTAX, EXPLICIT_LITTLE_ENDIAN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._inflater.eof:
            content = self._inflater.unconsumed_tail or self._deflated.read(INFLATED_CHUNK_BYTES)
            try:
                self._ready = self._inflater.decompress(content, INFLATED_CHUNK_BYTES)
            except zlib.error as error:
                raise SeriesUnreadable("the deflated dataset of an instance is broken") from error
            if not content:  # asked all the same, for what is left of a chunk may need no more content
                break
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        self._deflated.close()
        super().close()


def find_files(directory: Path) -> list[Path]:
    """All DICOM files (PS3.10) below a directory, in order of paths; a DICOMDIR and what is not DICOM is left out."""
    return [path for path in sorted(directory.rglob("*")) if path.is_file() and _is_instance(path)]


def open_instance(path: Path) -> BinaryIO:
    """Open a file so that its dataset can be read as it lies; offsets in it stay valid for the next time it is opened.

    Raises
    ------
    SeriesUnreadable : it is missing; when it is read, also: it is deflated and broken
    SeriesInaccessible : the disk fails
    """
    with disk_errors():
        file = path.open("rb")
        try:
            meta = _meta(file)
        except OSError:
            file.close()
            raise
    if is_deflated(meta):
        file.seek(META_START + len(meta))
        return InflatedInstance(file)
    file.seek(0)
    return file


def is_deflated(meta: bytes) -> bool:
    """Whether the File Meta Information says that the dataset behind it is deflated."""
    return any(element in meta for element in _DEFLATED_ELEMENTS)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Tell a disk that fails, which may pass, from what is wrong with a file.

    Raises
    ------
    SeriesUnreadable : a file is missing
    SeriesInaccessible : it is there, and the disk does not give it
    """
    try:
        yield
    except FileNotFoundError as error:
        raise SeriesUnreadable("a file of the series is missing") from error
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # not of the disk: the content asked for what files do not offer
            raise
        raise SeriesInaccessible from error


def skip(file: BinaryIO, count: int) -> None:
    """Go forwards in a file that may be inflated as it is read."""
    if file.seekable():
        file.seek(count, io.SEEK_CUR)
        return
    while count > 0:
        passed = len(file.read(min(count, INFLATED_CHUNK_BYTES)))
        count = count - passed if passed else 0


def _is_instance(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(PREAMBLE_BYTES)
        if file.read(len(MAGIC)) != MAGIC:
            return False
        meta = _meta(file)
    return _uid_element(_MEDIA_STORAGE_CLASS, _DICOMDIR) not in meta


def _meta(file: BinaryIO) -> bytes:
    """The File Meta Information, always explicit little endian with its length in front (PS3.10 7.1)."""
    file.seek(META_START)
    length = file.read(_GROUP_LENGTH_BYTES)
    return length + file.read(min(int.from_bytes(length[8:12], "little"), 2**16))


def _uid_element(tag: bytes, uid: str) -> bytes:
    """An element as it is written in the File Meta Information, padded to even length."""
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return tag + b"UI" + len(value).to_bytes(2, "little") + value


_DEFLATED_ELEMENTS = tuple(_uid_element(_TRANSFER_SYNTAX, uid) for uid in DEFLATED)
