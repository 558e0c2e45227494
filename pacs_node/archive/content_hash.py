"""The hash of a dataset as it was received. It names its algorithm: "blake3:<64 hexadecimal digits>".

What nodes stored before there was this name has "sha256:<...>" and is compared and checked by that for ever. BLAKE3
takes a third of the time (deploy/docs/decisions/content-hash.md). Called from `files` and `part10` only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Protocol

from blake3 import blake3

OLDER = "sha256:"
"""How the hash of an instance begins that was stored before its algorithm was named."""

_Chunk = bytes | bytearray | memoryview


class _Algorithm(Protocol):
    def update(self, chunk: _Chunk, /) -> object: ...

    def hexdigest(self) -> str: ...


_ALGORITHMS: dict[str, Callable[[], _Algorithm]] = {"blake3": blake3, "sha256": hashlib.sha256}
_FORM = re.compile(rf"({'|'.join(_ALGORITHMS)}):[0-9a-f]{{64}}")


class Hasher:
    """Hashes a dataset piece by piece.

    Parameters
    ----------
    like : a hash whose algorithm is used

    Attributes
    ----------
    update : takes the next piece
    """

    def __init__(self, like: str = "blake3:") -> None:
        self._name = like.partition(":")[0]
        self._algorithm = _ALGORITHMS[self._name]()
        self.update = self._algorithm.update

    def value(self) -> str:
        """The hash of all pieces."""
        return f"{self._name}:{self._algorithm.hexdigest()}"


def hash_of(pieces: Iterable[_Chunk], like: str) -> str:
    """The hash of a whole dataset, by the algorithm of another hash."""
    hasher = Hasher(like)
    for piece in pieces:
        hasher.update(piece)
    return hasher.value()


def checked(content_hash: str) -> str:
    """The same, as it was read from a file; raises ValueError if it is none."""
    if not _FORM.fullmatch(content_hash):
        raise ValueError("no hash")
    return content_hash


def digits(content_hash: str) -> str:
    """Without the algorithm, for the name of a file."""
    return content_hash.partition(":")[2]
