"""A server that speaks Triton's protocol and answers as the models do, until a test spoils its answers.

with fake_triton(models) as server:
    server.spoil = lambda reply: reply.outputs[0].shape.reverse()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from inference.onnx import OnnxPredictor
from inference.registry import SHA256_KEY, ModelRepository

Reply = Any
"""`ModelInferResponse` of the protocol."""


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Serves a repository; made by `fake_triton`.

    Parameters
    ----------
    url : where its clients find it
    spoil : changes an answer before it is sent, other than that to a canary
    refusal : status and text in place of every answer
    is_open : while it is not set, nothing is answered
    """

    def __init__(self, models: ModelRepository) -> None:
        self._models = models
        self._predictor = OnnxPredictor(models)
        self.url = ""
        self.spoil: Callable[[Reply], object] = lambda reply: None
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.is_open = threading.Event()
        self.is_open.set()

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the protocol's names
        return service_pb2.ServerLiveResponse(live=self.is_open.wait(10))

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        contract = self._models.contract(request.name, int(request.version))
        key = SHA256_KEY.format(version=contract.version)
        value = model_config_pb2.ModelParameter(string_value=contract.sha256)
        return service_pb2.ModelConfigResponse(config=model_config_pb2.ModelConfig(parameters={key: value}))

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Reply:  # noqa: N802
        self.is_open.wait()
        if self.refusal is not None:
            context.abort(*self.refusal)
        raw = zip(request.inputs, request.raw_input_contents, strict=True)
        inputs = {spec.name: np.frombuffer(content, np.float32).reshape(spec.shape) for spec, content in raw}
        names = [output.name for output in request.outputs]
        answer = self._predictor.infer(request.model_name, int(request.model_version), inputs, names)
        reply = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=request.model_version)
        for name, tensor in answer.items():
            reply.outputs.add(name=name, datatype="FP32", shape=tensor.shape)
            reply.raw_output_contents.append(tensor.tobytes())
        if any(tensor.any() for tensor in inputs.values()):
            self.spoil(reply)
        return reply


@contextmanager
def fake_triton(models: ModelRepository) -> Iterator[FakeTriton]:
    """Run one until the block ends."""
    fake = FakeTriton(models)
    size = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(4), options=size)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    fake.url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield fake
    finally:
        fake.is_open.set()
        server.stop(None).wait()
