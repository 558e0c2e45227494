"""Tiny ONNX models in a model repository: answers that one can work out by hand, loaded in no time.

repository = a_repository(tmp_path / "models")      # "doubler" and "logarithm"
repository.publish(a_member(doubler(3.0)))           # version 2 of "doubler"
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from inference.contract import Contract, TensorSpec
from inference.registry import Member, ModelRepository

FLOAT = TensorProto.FLOAT


def a_contract(model: str = "doubler", **changes: Any) -> Contract:
    """What `doubler` keeps: "x" of shape (2, 3) to "double" and "half"."""
    contract = Contract(
        model=model,
        version=1,
        kind="roi-head",
        file="1/model.onnx",
        sha256="",
        inputs=(TensorSpec(name="x", shape=(2, 3)),),
        outputs=(TensorSpec(name="double", shape=(2, 3)), TensorSpec(name="half", shape=(2, 3))),
    )
    return dataclasses.replace(contract, **changes)


def a_member(artefact: bytes, contract: Contract | None = None, golden: bytes = b"") -> Member:
    """A model to publish; the contract is that of `doubler` unless it is given."""
    return Member(contract=contract or a_contract(), artefact=artefact, golden=golden)


def doubler(factor: float = 2.0) -> bytes:
    """An ONNX file: double = factor * x, half = x / 2."""
    nodes = [helper.make_node("Mul", ["x", "factor"], ["double"]), helper.make_node("Mul", ["x", "a_half"], ["half"])]
    shape = ["batch", 2, 3]
    graph = helper.make_graph(
        nodes,
        "doubler",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name in ("double", "half")],
        [helper.make_tensor("factor", FLOAT, [], [factor]), helper.make_tensor("a_half", FLOAT, [], [0.5])],
    )
    return _file(graph)


def logarithm() -> bytes:
    """An ONNX file: y = log(x + 1), not a number for x < -1."""
    nodes = [helper.make_node("Add", ["x", "one"], ["z"]), helper.make_node("Log", ["z"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "logarithm",
        [helper.make_tensor_value_info("x", FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", FLOAT, ["batch", 2])],
        [helper.make_tensor("one", FLOAT, [], [1.0])],
    )
    return _file(graph)


def a_repository(path: Path) -> ModelRepository:
    """A model repository with `doubler` and `logarithm`."""
    repository = ModelRepository(path)
    repository.publish(a_member(doubler()))
    pair = a_contract(
        "logarithm", inputs=(TensorSpec(name="x", shape=(2,)),), outputs=(TensorSpec(name="y", shape=(2,)),)
    )
    repository.publish(a_member(logarithm(), pair))
    return repository


def _file(graph: Any) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content
