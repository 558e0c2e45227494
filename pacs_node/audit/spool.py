"""The audit trail on disk: lines of JSON in numbered files, in order, written by several processes, read by one.

It is what people read and at the same time what waits for the receiver: a position says how much has been sent.
Called from `trail` and `syslog`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

FILE_BYTES = 4 << 20
"""A new file is begun after so many bytes."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Before a line: in which file, after how many bytes."""

    file: int = 0
    offset_bytes: int = 0


class Spool:
    """Lines in a folder.

    Parameters
    ----------
    folder : is created
    keep_bytes : the oldest files are removed beyond this, whether sent or not; at least one file stays
    file_bytes : of one file
    """

    def __init__(self, folder: Path, *, keep_bytes: int, file_bytes: int = FILE_BYTES) -> None:
        self._folder = folder
        self._keep_bytes = keep_bytes
        self._file_bytes = file_bytes

    def append(self, lines: Sequence[str]) -> None:
        """Make lines durable, after all that were appended before; or none of them, and raise OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked("lock"):
            path = self._path(self._current())
            is_new = not path.exists()
            with _private(path, os.O_APPEND) as file:
                before = os.fstat(file.fileno()).st_size
                # if the last line has no end, a process was killed in the middle of it
                start = "\n" if before and not _ends_with_newline(path) else ""
                content = (start + "".join(f"{line}\n" for line in lines)).encode()
                try:
                    _write_synced(file, content)
                except OSError:
                    file.truncate(before)  # a part of them would stay, and come again with the whole
                    raise
            if is_new:
                _sync_folder(self._folder)
                self._prune()

    def read(self, position: Position, most: int = 100) -> list[tuple[str, Position]]:
        """The next lines, and the position after each; what was removed is passed over; raises OSError."""
        for number in (n for n in self._numbers() if n >= position.file):
            offset = position.offset_bytes if number == position.file else 0
            with self._locked("lock"):  # or lines might be read that are taken back
                found = self._lines(number, offset, most)
            if found:
                return found
        return []

    def sent(self) -> Position:
        """Up to where everything has been sent; raises OSError."""
        try:
            file, offset = (self._folder / "sent").read_text().split()
            return Position(int(file), int(offset))
        except (FileNotFoundError, ValueError):
            return Position()

    def save_sent(self, position: Position) -> None:
        """Remember it; raises OSError."""
        draft = self._folder / "sent.new"
        with _private(draft, os.O_TRUNC) as file:
            file.write(f"{position.file} {position.offset_bytes}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / "sent")
        _sync_folder(self._folder)

    @contextmanager
    def sender(self) -> Iterator[bool]:
        """Whether this process may send: no other one of the folder does, until the block ends or the process dies."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with _private(self._folder / "sender", 0) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with _private(self._folder / name, 0) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _lines(self, number: int, offset: int, most: int) -> list[tuple[str, Position]]:
        found: list[tuple[str, Position]] = []
        try:
            with self._path(number).open("rb") as file:
                file.seek(offset)
                while len(found) < most and (line := file.readline()).endswith(b"\n"):
                    found.append((line.decode("utf-8", "replace").strip(), Position(number, file.tell())))
        except FileNotFoundError:
            return []  # removed meanwhile
        return found

    def _current(self) -> int:
        numbers = self._numbers() or [1]
        path = self._path(numbers[-1])
        is_full = path.exists() and path.stat().st_size >= self._file_bytes
        return numbers[-1] + 1 if is_full else numbers[-1]

    def _prune(self) -> None:
        paths = [self._path(number) for number in self._numbers()]
        total = sum(path.stat().st_size for path in paths)
        for path in paths[:-1]:
            if total <= self._keep_bytes:
                return
            total -= path.stat().st_size
            path.unlink()

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("*.jsonl") if path.stem.isdecimal())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010}.jsonl"


def _private(path: Path, flags: int) -> FileIO:
    """A file to write that only the node may read; without a buffer, which would be written when it is closed."""
    return FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600), "wb")


def _write_synced(file: FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:  # a disk that fills up takes a part at first
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
