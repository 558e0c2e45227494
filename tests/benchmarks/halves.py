"""What float16 on a graphics card would do to the findings, without one: every tensor of the network is rounded to it.

That is what tensor cores keep: products are summed in float32, and each result goes to memory as float16. Here ONNX
Runtime computes each node in float32, from rounded tensors, and rounds what comes out; batch norms, which a card would
compute together with their convolution, are rounded once more. Called by `tests.benchmarks.inference`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import onnxruntime
from onnx import TensorProto, helper

from inference.onnx import OnnxPredictor
from inference.predictor import FloatTensor
from inference.registry import ModelRepository


class HalvesPredictor:
    """A `Predictor` whose detector keeps float16; other models stay exact, as in service."""

    def __init__(self, models: ModelRepository, detector: str, *, threads: int = 1) -> None:
        self._models = models
        self._detector = detector
        self._threads = threads
        self._others = OnnxPredictor(models, threads=threads, exact=True)
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}

    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        """Run a batch."""
        if model != self._detector:
            return self._others.infer(model, version, inputs, outputs)
        if version not in self._sessions:
            self._sessions[version] = session(halved(self._models.artefact(model, version)), self._threads)
        return dict(zip(outputs, self._sessions[version].run(list(outputs), dict(inputs)), strict=True))


def session(artefact: bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session that leaves every node as it is: an optimiser might take two casts for nothing."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(artefact, options, providers=["CPUExecutionProvider"])


def halved(artefact: bytes) -> bytes:
    """The network with each input and the result of each node rounded to float16. Weights are halves already."""
    model = onnx.load_from_string(artefact)
    nodes = []
    given = {entry.name: f"{entry.name}/half" for entry in model.graph.input}
    for name, rounded in given.items():
        nodes += _rounding(name, rounded)
    for node in model.graph.node:
        node.input[:] = [given.get(name, name) for name in node.input]
        nodes.append(node)
        if node.op_type != "Cast":  # those turn the weights into float32
            names = list(node.output)
            node.output[:] = [f"{name}/exact" for name in names]
            for name in names:
                nodes += _rounding(f"{name}/exact", name)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _rounding(name: str, rounded: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [name], [f"{rounded}/float16"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", [f"{rounded}/float16"], [rounded], to=TensorProto.FLOAT),
    ]
