"""Whatever its size and however it is written, the file holds what was written."""

from __future__ import annotations

import errno
import itertools
import mmap
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest

from pacs_node.archive.direct import DirectFile

BLOCK, BUFFER = 4096, 1 << 20
SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER + BLOCK, 3 * BUFFER - 7]


@pytest.fixture(params=["direct", "no direct files", "no direct writes"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where to write; on file systems that refuse direct I/O at once, or only when it comes to writing."""
    really_open, really_write = os.open, os.write

    def refuses_to_open(path: Path, flags: int, mode: int) -> int:
        descriptor = really_open(path, flags & ~os.O_DIRECT, mode)
        if flags & os.O_DIRECT:
            os.close(descriptor)
            raise OSError(errno.EINVAL, "as tmpfs was")
        return descriptor

    def refuses_to_write(descriptor: int, data: memoryview) -> int:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(tmp_path) and is_direct(descriptor):
            raise OSError(errno.EINVAL, "as a disk with large blocks does")
        return really_write(descriptor, data)

    if request.param == "no direct files":
        monkeypatch.setattr(os, "open", refuses_to_open)
    elif request.param == "no direct writes":
        monkeypatch.setattr(os, "write", refuses_to_write)
    yield tmp_path / "file"
    monkeypatch.undo()


def is_direct(descriptor: int) -> bool:
    flags = next(line for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines() if "flags" in line)
    return bool(int(flags.split()[1], 8) & os.O_DIRECT)


def written(file: DirectFile, content: bytes, chunk_bytes: int) -> None:
    for start in range(0, len(content), chunk_bytes):
        file.write(memoryview(content)[start : start + chunk_bytes])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk_bytes", [1000, 131066, 4 * BUFFER])
def test_what_was_written_is_in_the_file(path: Path, size: int, chunk_bytes: int) -> None:
    if chunk_bytes == 1000 and size > BUFFER + 1:
        size = BUFFER + 1
    content = Random(size).randbytes(size)
    with closing(DirectFile(path)) as file:
        written(file, content, chunk_bytes)
        file.sync()
        assert (file.size_bytes, path.read_bytes()) == (size, content)


@pytest.mark.parametrize("size", [BLOCK, BUFFER - 1, BUFFER, 2 * BUFFER + 5])
def test_it_can_be_looked_at_and_written_on(path: Path, size: int) -> None:
    content = Random(size).randbytes(size)
    with closing(DirectFile(path)) as file:
        written(file, content, 131066)
        with file.view(100) as view:
            assert bytes(view) == content[100:]
        file.write(b"more")
        with file.view(0) as view:
            assert bytes(view) == content + b"more"
        file.sync()
        assert path.read_bytes() == content + b"more"


@pytest.mark.parametrize("size", [BLOCK, BUFFER - 1, BUFFER, 2 * BUFFER + 5])
def test_its_beginning_can_be_replaced(path: Path, size: int) -> None:
    content = bytearray(Random(size).randbytes(size))
    with closing(DirectFile(path)) as file:
        written(file, bytes(content), 131066)
        file.overwrite(1000, b"replaced")
        file.sync()
        content[1000:1008] = b"replaced"
        assert path.read_bytes() == content


def test_files_that_are_written_at_once_do_not_share_a_buffer(tmp_path: Path) -> None:
    with closing(DirectFile(tmp_path / "a")) as a, closing(DirectFile(tmp_path / "b")) as b:
        for _ in range(1000):
            a.write(b"a")
            b.write(b"b")
        a.sync()
        b.sync()
    assert (tmp_path / "a").read_bytes() == b"a" * 1000
    assert (tmp_path / "b").read_bytes() == b"b" * 1000


def test_an_existing_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with pytest.raises(FileExistsError):
        DirectFile(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "a"


def test_a_file_for_which_there_is_no_memory_is_not_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, length: int) -> mmap.mmap:
        raise OSError(errno.ENOMEM, "no memory")

    with ExitStack() as files:
        with monkeypatch.context() as patch, pytest.raises(OSError, match="no memory"):
            patch.setattr(mmap, "mmap", full)
            for number in itertools.count():  # the first ones may get spare buffers
                files.enter_context(closing(DirectFile(tmp_path / str(number))))
        assert not (tmp_path / str(number)).exists()


def test_a_write_error_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with closing(DirectFile(tmp_path / "a")) as file:
        file.write(b"x")
        with monkeypatch.context() as patch, pytest.raises(OSError, match="no room"):
            patch.setattr(os, "write", full)
            file.sync()
