"""Whatever a Triton answers that its model cannot have said is refused by name, and never reaches a result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from inference.errors import (
    InferenceError,
    InputRefused,
    ModelNotFound,
    ModelOutputInvalid,
    PredictorBroken,
    PredictorTimeout,
    PredictorUnavailable,
)
from inference.registry import ModelRepository
from inference.triton import Retries, TritonPredictor
from pacs_node.domain.job import JobState
from pacs_node.node import Node
from tests.support.fake_triton import FakeTriton, Reply, fake_triton
from tests.support.models import a_repository
from tests.support.steps import QUIET_S, Clock, all_jobs, findings, receive, results, run_all

X = np.arange(6, dtype=np.float32).reshape(1, 2, 3)


def floats(*values: float) -> Callable[[Reply], None]:
    """Six values of which the first are these."""

    def spoil(reply: Reply) -> None:
        reply.raw_output_contents[0] = np.resize(np.array(values, np.float32), 6).tobytes()

    return spoil


def of_shape(*shape: int) -> Callable[[Reply], None]:
    def spoil(reply: Reply) -> None:
        reply.outputs[0].shape[:] = shape

    return spoil


def of_type(name: str, content: bytes) -> Callable[[Reply], None]:
    def spoil(reply: Reply) -> None:
        reply.outputs[0].datatype = name
        reply.raw_output_contents[0] = content

    return spoil


def of_bytes(content: bytes) -> Callable[[Reply], None]:
    return of_type("FP32", content)


def without_content(reply: Reply) -> None:
    del reply.raw_output_contents[:]


def without_output(reply: Reply) -> None:
    del reply.outputs[:]
    without_content(reply)


def named_otherwise(reply: Reply) -> None:
    reply.outputs[0].name = "half"


def one_too_many(reply: Reply) -> None:
    reply.outputs.add(name="half", datatype="FP32", shape=[1, 2, 3])
    reply.raw_output_contents.append(bytes(24))


NONSENSE: dict[str, Callable[[Reply], object]] = {
    "not a number": floats(1, np.nan),
    "infinite": floats(-np.inf),
    "another shape": of_shape(1, 3, 2),
    "another batch": of_shape(2, 3),
    "more than was sent": of_shape(2, 2, 3),
    "a shape beyond all bounds": of_shape(2**40, 2**40, 2**40),
    "a negative shape": of_shape(-1, -1, 3),
    "fewer values": of_bytes(bytes(20)),
    "half a value": of_bytes(bytes(23)),
    "no values": of_bytes(b""),
    "double precision": of_type("FP64", np.zeros(6).tobytes()),
    "half precision": of_type("FP16", np.zeros(6, np.float16).tobytes()),
    "whole numbers": of_type("INT32", np.zeros(6, np.int32).tobytes()),
    "texts": of_type("BYTES", b"\xff\xff\xff\x7fnot so long"),
    "a type that nobody knows": of_type("FP4", bytes(24)),
    "no content": without_content,
    "no output": without_output,
    "another output": named_otherwise,
    "one output too many": one_too_many,
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeTriton]:
    with fake_triton(a_repository(tmp_path / "models")) as running:
        yield running


@pytest.fixture
def client(server: FakeTriton, tmp_path: Path) -> Iterator[TritonPredictor]:
    models = ModelRepository(tmp_path / "models")
    opened = TritonPredictor(server.url, models, deadline_s=5, retries=Retries(attempts=2, sleep=lambda seconds: None))
    yield opened
    opened.close()


def test_an_answer_that_is_none_is_taken(client: TritonPredictor) -> None:
    np.testing.assert_array_equal(client.infer("doubler", 1, {"x": X}, ["double"])["double"], 2 * X)


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_an_invalid_output(server: FakeTriton, client: TritonPredictor, kind: str) -> None:
    server.spoil = NONSENSE[kind]
    with pytest.raises(ModelOutputInvalid):
        client.infer("doubler", 1, {"x": X}, ["double"])


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (grpc.StatusCode.INTERNAL, "Stub process 'doubler_0' is not healthy.", PredictorBroken),
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", PredictorUnavailable),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model", ModelNotFound),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape", InputRefused),
        (grpc.StatusCode.PERMISSION_DENIED, "no", PredictorUnavailable),
    ],
)
def test_a_refusal_has_its_error(
    server: FakeTriton,
    client: TritonPredictor,
    status: grpc.StatusCode,
    text: str,
    kind: type[InferenceError],
) -> None:
    server.refusal = status, text
    with pytest.raises(kind) as caught:
        client.infer("doubler", 1, {"x": X}, ["double"])
    assert type(caught.value) is kind


def test_a_server_that_never_answers_is_given_up(server: FakeTriton, tmp_path: Path) -> None:
    models = ModelRepository(tmp_path / "models")
    hasty = TritonPredictor(server.url, models, deadline_s=0.3, retries=Retries(attempts=1))
    server.is_open.clear()
    with pytest.raises(PredictorTimeout):
        hasty.infer("doubler", 1, {"x": X}, ["double"])
    assert not hasty.is_live(within_s=0.1)
    server.is_open.set()
    assert hasty.is_live(within_s=10)
    hasty.close()


@pytest.mark.parametrize("kind", ["not a number", "another shape"])
def test_a_study_that_gets_nonsense_ends_in_a_report_and_without_findings(
    node: Node, clock: Clock, chest: list[Path], kind: str
) -> None:
    def spoil(reply: Reply) -> None:
        if kind == "another shape":
            reply.outputs[0].shape.reverse()
        else:
            values = np.frombuffer(reply.raw_output_contents[0], np.float32).copy()
            values[len(values) // 2] = np.nan
            reply.raw_output_contents[0] = values.tobytes()

    receive(node, chest)
    clock.forward(QUIET_S)
    with fake_triton(node.models) as server:
        server.spoil = spoil
        client = TritonPredictor(server.url, node.models)
        run_all(dataclasses.replace(node, predictor=lambda: client))
        client.close()
    (job,) = all_jobs(node)
    assert job.state is JobState.DONE
    assert [reason.code for reason in job.reasons] == ["model.output-invalid"]
    assert findings(node, job) == ()
    assert [item.role for item in results(node, job)] == ["sr"]
