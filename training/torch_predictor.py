"""A `Predictor` that runs the torch networks themselves, so that evaluation goes through the shipped pipeline.

Called from `training.evaluation` and `training.export`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from inference.errors import ModelNotFound
from inference.predictor import FloatTensor
from training.networks.jnsc import Jnsc, JnscHead

DENSE, HEAD = "jnsc", "jnsc_head"


class TorchPredictor:
    """Serves "jnsc" and "jnsc_head", whatever version is asked for."""

    def __init__(self, network: Jnsc, head: JnscHead) -> None:
        self._network = network.eval()
        self._head = head.eval()

    @torch.no_grad()
    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        """Run a batch, as `inference.predictor.Predictor.infer` says."""
        if model == HEAD:
            return {"probability": self._head(torch.from_numpy(inputs["features"])).numpy()}
        if model != DENSE:
            raise ModelNotFound(f"there is no model {model} here")
        maps = self._network.encode(torch.from_numpy(inputs["window"]))
        answer = {}
        if "probability" in outputs:
            answer["probability"] = torch.sigmoid(self._network.decode(maps)).numpy()
        if len(answer) < len(outputs):
            answer |= {f"v{level}": tap.numpy() for level, tap in enumerate(self._network.tap(maps), start=1)}
        return {name: answer[name] for name in outputs}
