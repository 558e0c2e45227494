"""UIDs derive from what went in, and from nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pacs_node.domain.identifiers import IMPLEMENTATION_CLASS_UID
from pacs_node.report.identity import VERSION, device_uid, uid
from tests.support.results import A_MODEL, an_identity


def test_the_same_identity_always_gives_the_same_uid() -> None:
    assert uid(an_identity(), "seg") == uid(an_identity(), "seg")


@pytest.mark.parametrize(
    "changed",
    [
        {"study_instance_uid": "1.2.3"},
        {"series_instance_uid": "1.2.3"},
        {"pipeline": "dsnet"},
        {"input_digest": "00fe"},
        {"models": (dataclasses.replace(A_MODEL, version=4),)},
        {"models": (dataclasses.replace(A_MODEL, sha256="cd" * 32),)},
        {"models": (dataclasses.replace(A_MODEL, role="malignancy"),)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_any_other_input_or_model_gives_another_series(changed: dict[str, Any]) -> None:
    assert uid(an_identity(**changed), "seg-series") != uid(an_identity(), "seg-series")


def test_roles_and_numbers_never_share_a_uid() -> None:
    roles = ["seg", "seg-series", "lungs", "lungs-series", "sr", "sr-series"]
    uids = [uid(an_identity(), role) for role in roles] + [uid(an_identity(), "tracking", n) for n in range(1, 200)]
    assert len(set(uids)) == len(uids)


def test_the_order_of_models_does_not_matter() -> None:
    other = dataclasses.replace(A_MODEL, name="head")
    assert uid(an_identity((A_MODEL, other)), "sr") == uid(an_identity((other, A_MODEL)), "sr")


@pytest.mark.parametrize("made", [uid(an_identity(), "sr"), device_uid("HOSPITAL"), IMPLEMENTATION_CLASS_UID])
def test_uids_are_uuid_derived_and_legal(made: str) -> None:
    """PS3.5 section 9.1 and B.2: at most 64 characters, root 2.25, a number below 2 ** 128 without leading zero."""
    root, number = made.rsplit(".", 1)
    assert root == "2.25"
    assert str(int(number)) == number
    assert int(number) < 2**128
    assert len(made) <= 64


def test_the_version_is_that_of_the_project() -> None:
    text = (Path(__file__).parents[4] / "pyproject.toml").read_text()
    assert f'version = "{VERSION}"' in text
