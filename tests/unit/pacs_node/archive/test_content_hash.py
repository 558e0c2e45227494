"""The hash of a dataset names its algorithm, and is what others compute by that name."""

from __future__ import annotations

import hashlib

import pytest

from pacs_node.archive.content_hash import Hasher, checked, digits, hash_of

OF_ABC = "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
"""Published with BLAKE3."""
OLDER_OF_ABC = f"sha256:{hashlib.sha256(b'abc').hexdigest()}"


def test_what_is_received_is_hashed_by_blake3() -> None:
    hasher = Hasher()
    for piece in (b"a", bytearray(b"b"), memoryview(b"c")):
        hasher.update(piece)
    assert hasher.value() == OF_ABC


@pytest.mark.parametrize("known", [OF_ABC, OLDER_OF_ABC])
def test_a_dataset_is_hashed_as_the_hash_was_that_it_is_compared_with(known: str) -> None:
    assert hash_of([b"ab", b"c"], like=known) == known
    assert hash_of([b"ab"], like=known) != known


def test_the_digits_stand_behind_the_algorithm() -> None:
    assert digits("blake3:00ff") == "00ff"


@pytest.mark.parametrize(
    "value", ["", "ab" * 32, "md5:" + "ab" * 32, "blake3:" + "AB" * 32, "blake3:ab", OF_ABC + "\n"]
)
def test_what_is_no_hash_of_ours_is_refused(value: str) -> None:
    assert checked(OLDER_OF_ABC) == OLDER_OF_ABC
    with pytest.raises(ValueError, match="no hash"):
        checked(value)
