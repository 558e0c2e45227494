"""Each refusal of Triton becomes the error that says what to do, and only what may pass is asked again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.contract import TensorSpec
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
from inference.triton import TritonPredictor
from inference.triton.failures import LONGEST_PAUSE_S, error_of, pause_s
from tests.support.models import a_contract, a_member


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        ("INVALID_ARGUMENT", "unexpected shape for input 'x' for model 'doubler'", InputRefused),
        ("NOT_FOUND", "Request for unknown model: 'doubler' version 7 is not found", ModelNotFound),
        ("UNAVAILABLE", "Request for unknown model: 'doubler' version 1 is not at ready state", PredictorUnavailable),
        ("UNAVAILABLE", "failed to connect to all addresses", PredictorUnavailable),
        ("UNAVAILABLE", "Socket closed", PredictorUnavailable),
        ("UNAVAILABLE", "Exceeds maximum queue size", PredictorUnavailable),
        ("UNAVAILABLE", "This protocol is restricted, expecting header 'triton-grpc-protocol-admin'", InputRefused),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", PredictorTimeout),
        ("INTERNAL", "Stub process 'doubler_0' is not healthy.", PredictorBroken),
        ("INTERNAL", "Failed to process the request(s) for model 'doubler_0'", PredictorBroken),
        ("RESOURCE_EXHAUSTED", "Sent message larger than max", InputRefused),
        ("UNIMPLEMENTED", "", InputRefused),
        ("CANCELLED", "", PredictorUnavailable),
        ("UNKNOWN", "", PredictorUnavailable),
    ],
)
def test_a_status_becomes_the_error_that_it_means(status: str, text: str, kind: type[InferenceError]) -> None:
    for name in (status, f"StatusCode.{status}"):
        error = error_of(name, text)
        assert type(error) is kind
        assert (text or status) in str(error)


def test_a_traceback_of_the_server_stays_out_of_the_message() -> None:
    assert str(error_of("INTERNAL", "it failed\n\nAt:\n  /somewhere/model.py(3)")) == "Triton: it failed"


def test_pauses_double_up_to_a_limit_and_end_with_the_attempts() -> None:
    pauses = [pause_s(PredictorUnavailable(), attempt, 8, 0.0) for attempt in range(1, 9)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, None]


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_chance_shortens_a_pause_by_half_at_most(attempt: int, draw: float) -> None:
    whole = pause_s(PredictorUnavailable(), attempt, 100, 0.0)
    drawn = pause_s(PredictorUnavailable(), attempt, 100, draw)
    assert whole is not None
    assert drawn is not None
    assert whole / 2 <= drawn <= whole <= LONGEST_PAUSE_S


def test_a_deadline_is_tried_twice_at_most() -> None:
    assert pause_s(PredictorTimeout(), 1, 5, 0.0) == 0.1
    assert pause_s(PredictorTimeout(), 2, 5, 0.0) is None
    assert pause_s(PredictorTimeout(), 1, 1, 0.0) is None


@pytest.mark.parametrize("error", [InputRefused(), ModelNotFound(), ModelOutputInvalid(), PredictorBroken()])
def test_what_asking_again_does_not_change_is_not_asked_again(error: InferenceError) -> None:
    assert pause_s(error, 1, 5, 0.0) is None


def test_a_message_near_the_end_of_protobuf_is_refused_before_it_is_made(tmp_path: Path) -> None:
    models = ModelRepository(tmp_path)
    long = TensorSpec(name="x", shape=(100_000_000,))
    short = TensorSpec(name="y", shape=(1,))
    models.publish(a_member(b"", a_contract("much_in", inputs=(long,), outputs=(short,))))
    models.publish(a_member(b"", a_contract("much_out", inputs=(short,), outputs=(long,))))
    predictor = TritonPredictor("127.0.0.1:1", models)
    try:
        for model, spec, asked in (("much_in", long, "y"), ("much_out", short, "x")):
            batch = np.broadcast_to(np.float32(0), (4, *spec.shape))
            with pytest.raises(InputRefused, match=f"a batch of 4 for {model} makes a message of 1.6 GB"):
                predictor.infer(model, 1, {spec.name: batch}, [asked])
    finally:
        predictor.close()
