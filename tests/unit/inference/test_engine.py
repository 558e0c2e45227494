"""A file as a program for this CPU: the same answer every time, nothing started too early, float32 where asked."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.engine import Engine, has_bfloat16, is_exact
from inference.errors import ContractInvalid, PredictorBroken
from inference.predictor import FloatTensor
from tests.support.models import a_contract, doubler
from tests.support.predictors import a_detector, a_slice_model

RNG = np.random.default_rng(7)
WINDOWS = RNG.normal(size=(3, 4, 16, 16, 16)).astype(np.float32)
KERNELS = RNG.normal(size=(4, 4, 3, 3, 3)).astype(np.float32)

# Makes a predictor, forks, and asks it on both sides of the fork.
A_PARENT = """
import os, pathlib, sys
import numpy as np
from inference.onnx import OnnxPredictor
from inference.registry import ModelRepository
from tests.support.models import a_repository
predictor = OnnxPredictor(a_repository(pathlib.Path(sys.argv[1])), threads=2)
child = os.fork()
answer = predictor.infer("doubler", 1, {"x": np.ones((1, 2, 3), np.float32)}, ["double"])["double"]
if child == 0:
    os._exit(0 if (answer == 2).all() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

# Answers a question in a process that is ended as soon as any module looks for a host or opens a connection.
A_HERMIT = """
import os, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen"):
        os._exit(3)
sys.addaudithook(refuse)
import numpy as np
from inference.engine import Engine
from tests.support.models import doubler
Engine(doubler()).run({"x": np.ones((1, 2, 3), np.float32)}, ["double"])
"""


def a_convolution(kind: int = TensorProto.FLOAT) -> bytes:
    """An ONNX file: a 3-D convolution of "x" to "y", normalised over each window."""
    shape = ["batch", *WINDOWS.shape[1:]]
    ones, zeros = np.ones(4, np.float32), np.zeros(4, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "kernels"], ["z"], pads=[1] * 6),
            helper.make_node("InstanceNormalization", ["z", "ones", "zeros"], ["y"]),
        ],
        "convolution",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
        [
            numpy_helper.from_array(values.astype(np.float64 if kind == TensorProto.DOUBLE else np.float32), name)
            for name, values in (("kernels", KERNELS), ("ones", ones), ("zeros", zeros))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def answered(engine: Engine) -> FloatTensor:
    return engine.run({"x": WINDOWS}, ["y"])["y"]


@pytest.mark.parametrize("exact", [True, False])
def test_the_same_batch_has_the_same_answer_to_the_last_bit(exact: bool) -> None:
    first = Engine(a_convolution(), threads=2, is_exact=exact)
    answers = [answered(first) for _ in range(4)] + [answered(Engine(a_convolution(), threads=2, is_exact=exact))]
    assert all(answer.tobytes() == answers[0].tobytes() for answer in answers)


def test_what_is_exact_is_float32_and_what_is_not_is_near_it() -> None:
    padded = np.pad(WINDOWS.astype(np.float64), [(0, 0), (0, 0), *[(1, 1)] * 3])
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3, 3), axis=(2, 3, 4))
    sums = np.einsum("bckjixyz,ocxyz->bokji", views, KERNELS.astype(np.float64), optimize=True)
    centred = sums - sums.mean(axis=(2, 3, 4), keepdims=True)
    expected = centred / np.sqrt(centred.var(axis=(2, 3, 4), keepdims=True) + 1e-5)
    np.testing.assert_allclose(answered(Engine(a_convolution(), is_exact=True)), expected, rtol=0, atol=2e-5)
    brief = np.abs(answered(Engine(a_convolution(), is_exact=False)) - expected).max()
    assert brief < 0.05
    assert (brief > 1e-3) == has_bfloat16()


def test_a_model_that_was_asked_in_many_shapes_is_compiled_anew_and_answers_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would keep memory for each shape for good. At no time are there two of it."""
    monkeypatch.setattr("inference.engine.MOST_SHAPES", 3)
    programs: list[weakref.ref[_Program]] = []
    monkeypatch.setattr("inference.engine._core", lambda: _Core(programs))
    engine = Engine(doubler())
    for count in (1, 2, 3, 3, 2, 1, 4, 1, 4, 5, 6):
        batch = np.full((count, 2, 3), count, np.float32)
        assert (engine.run({"x": batch}, ["double"])["double"] == 2 * batch).all()
        assert sum(program() is not None for program in programs) == 1
    assert len(programs) == 3, "1 2 3 3 2 1, then 4 1 4 5, then 6"


class _Core:
    """OpenVINO, which notes its programs."""

    def __init__(self, programs: list[weakref.ref[_Program]]) -> None:
        self._programs = programs

    def read_model(self, content: io.BytesIO) -> Any:
        return openvino.Core().read_model(content)

    def compile_model(self, *settings: Any) -> _Program:
        assert all(program() is None for program in self._programs), "the one before still takes its memory"
        program = _Program(openvino.Core().compile_model(*settings))
        self._programs.append(weakref.ref(program))
        return program


class _Program:
    """A compiled model and what asks it."""

    def __init__(self, model: Any) -> None:
        self._model, self._request = model, model.create_infer_request()

    def create_infer_request(self) -> _Program:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


def test_only_detectors_may_be_computed_in_bfloat16() -> None:
    assert [is_exact(contract) for contract in (a_detector(), a_slice_model(), a_contract())] == [False, True, True]


def test_it_says_what_the_file_declares() -> None:
    inputs, outputs = Engine(doubler()).tensors
    assert (inputs, outputs) == ({"x": (None, 2, 3)}, {"double": (None, 2, 3), "half": (None, 2, 3)})


def test_tensors_that_are_not_float32_are_named() -> None:
    with pytest.raises(ContractInvalid, match="not float32: x, y"):
        _ = Engine(a_convolution(TensorProto.DOUBLE)).tensors


def test_a_batch_that_does_not_fit_is_an_error_and_the_next_one_is_answered() -> None:
    engine = Engine(doubler())
    with pytest.raises(PredictorBroken):
        engine.run({"x": np.zeros((1, 2, 4), np.float32)}, ["half"])
    assert (engine.run({"x": np.ones((1, 2, 3), np.float32)}, ["half"])["half"] == 0.5).all()


def test_an_input_on_which_nothing_depends_may_be_given() -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "one of two",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1]) for name in ("x", "unused")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    values = np.ones((2, 1), np.float32)
    answer = Engine(model.SerializeToString()).run({"x": values, "unused": 2 * values}, ["y"])
    assert (answer["y"] == values).all()


def test_inputs_that_the_outputs_asked_for_do_not_need_may_be_given() -> None:
    names = {"a": "b", "c": "d"}
    graph = helper.make_graph(
        [helper.make_node("Neg", [before], [after]) for before, after in names.items()],
        "two",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in names],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in names.values()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    given = {name: np.full((1, 2), value, np.float32) for value, name in enumerate(names, start=1)}
    engine = Engine(model.SerializeToString())
    assert {name: engine.run(given, [name])[name].tolist() for name in ("b", "d")} == {"b": [[-1, -1]], "d": [[-2, -2]]}


def test_an_answer_is_not_changed_by_the_next_one() -> None:
    engine = Engine(doubler())
    first = engine.run({"x": np.ones((1, 2, 3), np.float32)}, ["double"])["double"]
    engine.run({"x": np.zeros((1, 2, 3), np.float32)}, ["double"])
    assert (first == 2).all()


def test_a_process_may_be_forked_before_the_first_answer(tmp_path: Path) -> None:
    """As Celery forks its workers from a head that has made the predictor."""
    arguments = [sys.executable, "-c", A_PARENT, str(tmp_path)]
    done = subprocess.run(
        arguments, cwd=Path(__file__).parents[3], env=os.environ, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_nothing_is_told_to_anybody() -> None:
    """OpenVINO comes with a package that could report its use; only its converters do."""
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", A_HERMIT], cwd=root, timeout=60, check=False).returncode == 0
