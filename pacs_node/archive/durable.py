"""Files that survive a power cut: written beside their place, synced, renamed into it, and the folder synced.

Only what is common to all files of the archive; what lies where is decided in `files`, the only caller.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import os
import secrets
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from pacs_node.errors import StorageFailed, StorageFull

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_OFFERED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def translated() -> AbstractContextManager[None]:
    """Turn errors of the file system into ours.

    Raises
    ------
    StorageFull : no room on the device or in the quota
    StorageFailed : anything else
    """
    return _TRANSLATION


class _Translation:
    """Has no state, and so is made once: several are entered for every instance."""

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, FileExistsError):
            raise failure_of(error) from error


_TRANSLATION = _Translation()


def failure_of(error: OSError) -> StorageFull | StorageFailed:
    """Ours for an error of the file system."""
    if error.errno in _NO_ROOM:
        return StorageFull()
    return StorageFailed(f"the archive could not write to its disk ({error.strerror})")


def write_all(descriptor: int, chunk: bytes | bytearray | memoryview) -> None:
    """Write the whole chunk; a full disk may take only a part of it at first."""
    written = os.write(descriptor, chunk)
    if written < len(chunk):
        rest = memoryview(chunk)[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def make_folder(folder: Path) -> None:
    """Create the folder and those above it, durably; nothing if it exists."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def make_folders(parent: Path, names: Sequence[str]) -> None:
    """Create many folders in one, durably, with one sync."""
    if not all((parent / name).is_dir() for name in names):
        make_folder(parent)
        for name in names:
            (parent / name).mkdir(exist_ok=True)
        sync_folder(parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_new(source: Path, target: Path) -> None:
    """Rename in one step, never over an existing file, also when other processes do the same.

    Raises
    ------
    FileExistsError : the target exists; nothing has changed

    References
    ----------
    renameat2(2) with RENAME_NOREPLACE; where the file system lacks it, link(2) and unlink(2).
    """
    failure = _renameat2(source, target)
    if failure in _NOT_OFFERED:
        os.link(source, target)
        source.unlink()
    elif failure:
        raise OSError(failure, os.strerror(failure), str(target))


def _renameat2(source: Path, target: Path) -> int:
    call = _libc().renameat2
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return 0
    return ctypes.get_errno()


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


class Workspace:
    """The folder in which one process writes its drafts; a lock on it says that the process lives.

    Parameters
    ----------
    incoming : folder of the workspaces of all processes, on the file system of the archive
    """

    def __init__(self, incoming: Path) -> None:
        self._incoming = incoming
        self._folder: Path | None = None
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def new_path(self) -> Path:
        """A path for a new draft that nobody else uses."""
        with self._lock:
            if self._folder is None:
                self._folder = self._claimed()
            return self._folder / str(next(self._numbers))

    def clean(self) -> None:
        """Remove the drafts of processes that have died."""
        make_folder(self._incoming)
        with locked(self._incoming):
            self._remove_dead()

    def _claimed(self) -> Path:
        make_folder(self._incoming)
        with locked(self._incoming):
            self._remove_dead()
            folder = self._incoming / f"{os.getpid()}-{secrets.token_hex(4)}"
            folder.mkdir()
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # open, and so locked, until the process ends
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return folder

    def _remove_dead(self) -> None:
        for folder in self._incoming.iterdir():
            with suppress(BlockingIOError, NotADirectoryError), locked(folder, fcntl.LOCK_NB):
                shutil.rmtree(folder)


@contextmanager
def locked(folder: Path, flags: int = 0) -> Iterator[None]:
    """Keep all others out who lock the folder; BlockingIOError if one is in there, and `flags` is LOCK_NB."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(descriptor)
