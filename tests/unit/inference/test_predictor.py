"""Question and answer are held to the contract, whoever answers."""

from __future__ import annotations

import numpy as np
import pytest

from inference.contract import TensorSpec
from inference.errors import InputRefused, ModelOutputInvalid
from inference.predictor import FloatTensor, check_answer, check_request, zeros
from tests.support.models import a_contract


def a_batch(count: int = 2, *shape: int) -> FloatTensor:
    """Ones; by default of the shape that the contract wants."""
    return np.ones((count, *(shape or (2, 3))), np.float32)


def test_a_question_as_in_the_contract_tells_its_batch_size() -> None:
    assert check_request(a_contract(), {"x": a_batch(5)}, ["half"]) == 5


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
    assert check_request(contract, {"x": a_batch(2), "y": a_batch(2, 1)}, ["half"]) == 2
    with pytest.raises(InputRefused):
        check_request(contract, {"x": a_batch(2), "y": a_batch(3, 1)}, ["half"])


def test_an_answer_as_asked_for_is_taken() -> None:
    check_answer(a_contract(), 2, ["half"], {"half": a_batch()})


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
        check_answer(a_contract(), 2, ["half"], answer)


def test_zeros_are_a_question_that_the_contract_allows() -> None:
    contract = a_contract()
    assert check_request(contract, zeros(contract.inputs), ["double"]) == 1
    assert not zeros(contract.inputs)["x"].any()
