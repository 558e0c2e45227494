"""A release is taken only if it is complete, agrees with itself, and computes what torch computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.contract import Feed, TensorSpec
from inference.errors import GoldenMismatch, ModelOutputInvalid, ReleaseInvalid
from inference.release import read_release, rehearse
from tests.support.models import doubler, logarithm
from tests.support.releases import CASES, PARITY, a_release, a_released_contract, add_model, golden_file


def test_a_release_proves_itself(tmp_path: Path) -> None:
    members = read_release(a_release(tmp_path, 3.0))
    (proof,) = rehearse(members)
    assert (proof.model, proof.cases, proof.parity) == ("doubler", 3, PARITY)
    assert proof.difference == 0.0


def test_a_set_in_which_one_model_feeds_another_is_complete(tmp_path: Path) -> None:
    a_release(tmp_path)
    golden = golden_file({"x": CASES}, {"half": CASES / 2})
    feeds = (Feed(input="x", model="doubler", output="double"),)
    add_model(tmp_path, a_released_contract("after", feeds=feeds, head="doubler"), doubler(), golden)
    assert [member.contract.model for member in read_release(tmp_path)] == ["after", "doubler"]
    (tmp_path / "doubler/model.onnx").rename(tmp_path / "gone")
    with pytest.raises(ReleaseInvalid, match="doubler: .*No such file"):
        read_release(tmp_path)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReleaseInvalid, match="holds no <model>/contract.json"):
        read_release(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"system": ""}, "have to be of one system"),
        ({"roles": ()}, "no model has a role"),
        ({"head": "absent"}, "its head absent is not part of the set"),
        ({"feeds": (Feed(input="x", model="absent", output="y"),)}, "absent, which feeds it y, is not part of the set"),
        ({"feeds": (Feed(input="z", model="doubler", output="half"),)}, "z is fed, but is no input"),
        ({"features": (("v1", 1, 2),)}, "v1 is a feature, but no output"),
        ({"kind": "oracle"}, "'oracle' is no kind of model"),
        ({"kind": "slice-model"}, "a slice-model has to say its roi"),
        ({"kind": "dense-detector"}, "a dense-detector has to say its detection"),
        ({"classes": ()}, "a roi-head has to say its classes"),
        ({"evaluation": {}}, 'lacks "parity"'),
        (
            {"inputs": (TensorSpec(name="x", shape=(2, 4)),)},
            r"input.x is float32 \(3, 2, 3\), not float32 \(cases, \*\(2, 4",
        ),
        ({"outputs": (TensorSpec(name="half", shape=(2, 3)),)}, "instead of all inputs and some outputs"),
        ({"sha256": "0" * 64}, "does not have the SHA-256"),
    ],
)
def test_a_contract_that_is_incomplete_or_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ReleaseInvalid, match=said):
        read_release(a_release(tmp_path, **changes))


@pytest.mark.parametrize(
    ("artefact", "said"),
    [
        (b"", "no usable model"),
        (b"junk", "no usable model"),
        (doubler()[:-40], "no usable model"),
        (logarithm(), r"the file has the outputs \['y'\], the contract \['double', 'half'\]"),
    ],
    ids=["empty", "junk", "cut off", "another model"],
)
def test_a_file_that_is_not_the_model_of_the_contract_is_refused(tmp_path: Path, artefact: bytes, said: str) -> None:
    with pytest.raises(ReleaseInvalid, match=said):
        read_release(a_release(tmp_path, artefact=artefact))


def test_tensors_of_another_shape_than_in_the_contract_are_refused(tmp_path: Path) -> None:
    wide = (TensorSpec(name="x", shape=(2, 4)),)
    golden = golden_file({"x": np.zeros((1, 2, 4), np.float32)}, {"half": np.zeros((1, 2, 3), np.float32)})
    add_model(tmp_path, a_released_contract(inputs=wide), doubler(), golden)
    with pytest.raises(ReleaseInvalid, match=r"input x is \[None, 2, 3\] in the file, not \[None, 2, 4\]"):
        read_release(tmp_path)


@pytest.mark.parametrize(
    ("golden", "said"),
    [
        (b"", "is missing"),
        (b"junk", "cannot be read"),
        (golden_file({"x": CASES}, {})[:-30], "cannot be read"),
        (golden_file({"x": CASES}, {}), "instead of all inputs and some outputs"),
        (golden_file({}, {"half": CASES}), "instead of all inputs and some outputs"),
        (golden_file({"x": CASES}, {"third": CASES}), "instead of all inputs and some outputs"),
        (golden_file({"x": CASES}, {"half": CASES[:2]}), r"output.half is float32 \(2, 2, 3\)"),
        (golden_file({"x": CASES[:0]}, {"half": CASES[:0]}), r"input.x is float32 \(0, 2, 3\)"),
        (golden_file({"x": CASES.astype(float)}, {"half": CASES}), "input.x is float64"),
        (golden_file({"x": CASES}, {"half": CASES * np.float32("nan")}), "output.half is not finite"),
        (golden_file({"x": np.array([object()])}, {"half": CASES}), "cannot be read"),
    ],
)
def test_golden_cases_that_do_not_fit_the_contract_are_refused(tmp_path: Path, golden: bytes, said: str) -> None:
    add_model(tmp_path, a_released_contract(), doubler(), golden)
    with pytest.raises(ReleaseInvalid, match=said):
        read_release(tmp_path)


def test_a_contract_in_another_folder_than_its_model_is_refused(tmp_path: Path) -> None:
    a_release(tmp_path)
    (tmp_path / "doubler").rename(tmp_path / "tripler")
    with pytest.raises(ReleaseInvalid, match="tripler: its contract is that of doubler"):
        read_release(tmp_path)


def test_an_answer_beyond_the_parity_is_named_with_its_difference(tmp_path: Path) -> None:
    """The first case is 0..5: the largest difference is that of 2.1 * 5 and 2 * 5, 0.05 of the largest value, 10."""
    members = read_release(a_release(tmp_path, 2.1, golden=2.0))
    with pytest.raises(GoldenMismatch, match="golden case 1 of 3 .* double is off by 0.05, 1e-05 is allowed"):
        rehearse(members)


def test_an_answer_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    members = read_release(a_release(tmp_path, float("nan"), golden=2.0))
    with pytest.raises(ModelOutputInvalid, match="not finite"):
        rehearse(members)
