from __future__ import annotations

import re
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs_node.domain.identifiers import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION,
    is_ae_title,
    is_uid,
)

components = st.integers(0, 10**12).map(str)
uids = st.lists(components, min_size=2, max_size=12).map(".".join)


@given(uids)
def test_numbers_joined_by_dots_are_a_uid_up_to_64_characters(uid: str) -> None:
    assert is_uid(uid) == (len(uid) <= 64)


@given(st.uuids())
def test_every_uuid_makes_a_uid(value: uuid.UUID) -> None:
    assert is_uid(f"2.25.{value.int}")


def test_64_characters_are_the_limit() -> None:
    longest = "1." + "2" * 62
    assert is_uid(longest)
    assert not is_uid(longest + "2")


@pytest.mark.parametrize("uid", ["1.02.3", "01.2", "1.2.00"])
def test_leading_zeros_are_tolerated(uid: str) -> None:
    assert is_uid(uid)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        ".1.2",
        "1.2.",
        "1..2",
        "1.2 ",
        "1.2\n",
        "1.2\0",
        "1,2",
        "1.a",
        "../1.2",
        "1.2/../3",
        "1.２",
        "١.٢",
        "-1.2",
    ],
)
def test_anything_but_digits_and_single_dots_is_no_uid(text: str) -> None:
    assert not is_uid(text)


@given(st.text())
def test_a_uid_can_never_name_another_place_on_disk(text: str) -> None:
    if is_uid(text):
        assert re.fullmatch(r"[0-9.]{3,64}", text)
        assert ".." not in text


@given(st.text(alphabet=[c for c in string.printable[:95] if c != "\\"], min_size=1, max_size=16))
def test_printable_ascii_is_an_ae_title_unless_it_is_blank(text: str) -> None:
    assert is_ae_title(text) == (text.strip(" ") != "")


@pytest.mark.parametrize("text", ["", " ", " " * 16, "A" * 17, "A\\B", "A\nB", "A\tB", "A\x7f", "ÄRZTE", "Ａ"])
def test_anything_else_is_no_ae_title(text: str) -> None:
    assert not is_ae_title(text)


def test_the_implementation_names_itself_within_the_limits_of_the_standard() -> None:
    assert is_uid(IMPLEMENTATION_CLASS_UID)
    assert 1 <= len(IMPLEMENTATION_VERSION) <= 16
