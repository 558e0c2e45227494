"""Files of the repository: read with one kind of error, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inference.errors import ContractInvalid, RepositoryUnwritable


def text_of(path: Path) -> str:
    """The text of a file; raises ContractInvalid."""
    try:
        return content_of(path).decode()
    except UnicodeDecodeError as error:
        raise ContractInvalid(f"{path.name} of {path.parent.name} is not text") from error


def content_of(path: Path) -> bytes:
    """The content of a file; raises ContractInvalid."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContractInvalid(f"{path.parent.name}/{path.name} cannot be read: {error.strerror}") from error


def sha256_of(content: bytes) -> str:
    """The hash of a content, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes) -> None:
    """Put a file in place so that a reader, or a power cut, meets the old one or the whole new one."""
    part = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def remove_version(folder: Path) -> None:
    """Remove the folder of a version, and that of its model if nothing is left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


def highest_number(folder: Path) -> int:
    """The highest version that lies in a model's folder, be it the rest of a publication that was cut off."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return max((int(name) for name in names if name.isdecimal()), default=0)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say RepositoryUnwritable of everything that goes wrong while a repository is written."""
    try:
        yield
    except OSError as error:
        raise RepositoryUnwritable(f"the model repository {path} cannot be written: {error.strerror}") from error
