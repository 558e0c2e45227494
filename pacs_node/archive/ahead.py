"""What was found ahead of its time, kept until it is asked for; to lose it costs time and nothing else.

    <root>/ahead/<key>    its content after the SHA-256 of it; locked while it is being made

Nothing is synced: what a power cut or a kill leaves half written does not fit its hash, and is as good as nothing.
Called from `steps.anticipate` and `steps.analyse`.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pacs_node.archive.durable import translated, write_all

_HASH_BYTES = 32


class Ahead:
    """The files of one node; several processes may use them.

    Parameters
    ----------
    root : folder of the archive
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "ahead"

    @contextmanager
    def making(self, key: str) -> Iterator[Callable[[bytes], None]]:
        """What keeps content under a key, a SHA-256 in hexadecimal; who wants it meanwhile waits for the end of this.

        Raises
        ------
        StorageFull, StorageFailed
        """
        with translated():
            self._folder.mkdir(parents=True, exist_ok=True)
            file = (self._folder / key).open("ab", buffering=0)
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            yield lambda content: _keep(file.fileno(), content)

    def take(self, key: str) -> bytes | None:
        """What was kept under a key, which nobody will be given again; None if there is nothing whole.

        Raises
        ------
        StorageFailed
        """
        path = self._folder / key
        with translated():
            try:
                file = path.open("rb")
            except FileNotFoundError:
                return None
            with file:
                fcntl.flock(file, fcntl.LOCK_SH)
                stored = file.read()
                path.unlink(missing_ok=True)
        content = stored[_HASH_BYTES:]
        return content if hashlib.sha256(content).digest() == stored[:_HASH_BYTES] else None

    def forget(self, older_than_s: float) -> None:
        """Remove what nobody has asked for; raises StorageFailed."""
        with translated():
            for path in self._folder.glob("*"):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < time.time() - older_than_s:
                        path.unlink()


def _keep(descriptor: int, content: bytes) -> None:
    with translated():
        write_all(descriptor, hashlib.sha256(content).digest() + content)
