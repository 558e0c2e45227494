"""Question and answer are held to the contract, whoever answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inference.contract import TensorSpec
from inference.errors import InputRefused, ModelOutputInvalid
from inference.predictor import Extent, FloatTensor, check_answer, check_request, zeros
from tests.support.models import a_contract
from tests.support.predictors import DETECTION, a_detector


def a_batch(count: int = 2, *shape: int) -> FloatTensor:
    """Ones; by default of the shape that the contract wants."""
    return np.ones((count, *(shape or (2, 3))), np.float32)


def test_a_question_as_in_the_contract_tells_its_batch_size() -> None:
    assert check_request(a_contract(), {"x": a_batch(5)}, ["half"]).batch == 5


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [
        ({"y": a_batch()}, ["half"], r"takes \['x'\], not \['y'\]"),
        ({}, ["half"], r"takes \['x'\], not \[\]"),
        ({"x": a_batch(), "y": a_batch()}, ["half"], r"not \['x', 'y'\]"),
        ({"x": a_batch(2, 2, 4)}, ["half"], r"not float32 \(2, 2, 4\)"),
        ({"x": a_batch(2, 6)}, ["half"], r"not float32 \(2, 6\)"),
        ({"x": a_batch(0)}, ["half"], r"not float32 \(0, 2, 3\)"),
        ({"x": np.float32(1)}, ["half"], r"not float32 \(\)"),
        ({"x": np.ones((2, 2, 3))}, ["half"], r"not float64"),
        ({"x": a_batch()}, ["third"], r"no output \['third'\]"),
        ({"x": a_batch()}, [], "no output is asked for"),
    ],
)
def test_other_questions_are_refused(inputs: dict[str, FloatTensor], outputs: list[str], why: str) -> None:
    with pytest.raises(InputRefused, match=why):
        check_request(a_contract(), inputs, outputs)


def test_inputs_of_different_batch_sizes_are_refused() -> None:
    contract = a_contract(inputs=(TensorSpec(name="x", shape=(2, 3)), TensorSpec(name="y", shape=(1,))))
    assert check_request(contract, {"x": a_batch(2), "y": a_batch(2, 1)}, ["half"]).batch == 2
    with pytest.raises(InputRefused):
        check_request(contract, {"x": a_batch(2), "y": a_batch(3, 1)}, ["half"])


def test_an_answer_as_asked_for_is_taken() -> None:
    check_answer(a_contract(), Extent(batch=2), ["half"], {"half": a_batch()})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({}, r"answered \[\] instead of \['half'\]"),
        ({"double": a_batch()}, r"answered \['double'\] instead"),
        ({"half": a_batch(), "double": a_batch()}, r"answered \['double', 'half'\] instead"),
        ({"half": a_batch(3)}, r"as float32 \(3, 2, 3\), not \(2, 2, 3\)"),
        ({"half": a_batch(2, 3, 2)}, r"as float32 \(2, 3, 2\)"),
        ({"half": np.ones((2, 2, 3))}, "as float64"),
        ({"half": np.full((2, 2, 3), np.nan, np.float32)}, "not finite"),
        ({"half": np.full((2, 2, 3), -np.inf, np.float32)}, "not finite"),
    ],
)
def test_other_answers_are_refused(answer: dict[str, FloatTensor], why: str) -> None:
    with pytest.raises(ModelOutputInvalid, match=why):
        check_answer(a_contract(), Extent(batch=2), ["half"], answer)


def test_zeros_are_a_question_that_the_contract_allows() -> None:
    contract = a_contract()
    assert check_request(contract, zeros(contract.inputs), ["double"]).batch == 1
    assert not zeros(contract.inputs)["x"].any()


ONE_PASS = a_detector(
    detection=dataclasses.replace(DETECTION, is_one_pass=True), features=(("v1", 1, 2), ("v2", 16, 1))
)


@pytest.mark.parametrize("lengths", [(64, 64, 64), (80, 64, 112), (320, 192, 256)])
def test_a_one_pass_detector_takes_longer_windows_and_its_maps_grow_as_they_do(lengths: tuple[int, int, int]) -> None:
    extent = check_request(ONE_PASS, {"window": np.zeros((1, 1, *lengths), np.float32)}, ["v2"])
    answer = np.zeros((1, 1, *(length // 2 for length in lengths)), np.float32)
    check_answer(ONE_PASS, extent, ["v2"], {"v2": answer})
    with pytest.raises(ModelOutputInvalid, match="answered v2"):
        check_answer(ONE_PASS, extent, ["v2"], {"v2": answer[..., 1:]})


@pytest.mark.parametrize("shape", [(1, 1, 48, 64, 64), (1, 1, 72, 64, 64), (1, 2, 64, 64, 64), (1, 64, 64, 64), (0,)])
def test_a_one_pass_detector_takes_no_other_windows(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputRefused, match=r"\(batch, \*\(1, 64, 64, 64\)\) or longer"):
        check_request(ONE_PASS, {"window": np.zeros(shape, np.float32)}, ["v2"])


def test_other_detectors_take_their_window_only() -> None:
    with pytest.raises(InputRefused, match=r"\(batch, \*\(1, 64, 64, 64\)\), not"):
        check_request(a_detector(), {"window": np.zeros((1, 1, 80, 64, 64), np.float32)}, ["v2"])
