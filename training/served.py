"""The models of a system as they are served, and a predictor that runs them in torch.

Called from `training.systems`, `training.evaluation` and `training.export`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from inference.contract import Contract
from inference.errors import ModelNotFound
from inference.predictor import FloatTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model as it is exported.

    Parameters
    ----------
    contract : its file, hash and version are filled in when it is published
    module : takes the contract's inputs in their order, each (batch, *shape), and gives its outputs in their order
    maximum_batch : the largest batch that the server takes
    """

    contract: Contract
    module: nn.Module
    maximum_batch: int


class TorchPredictor:
    """An `inference.predictor.Predictor` over modules, whatever version is asked for."""

    def __init__(self, served: Sequence[Served]) -> None:
        self._served = {one.contract.model: one for one in served}
        for one in served:
            one.module.eval()

    @torch.no_grad()
    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        """Run a batch, as `inference.predictor.Predictor.infer` says."""
        if model not in self._served:
            raise ModelNotFound(f"there is no model {model} here")
        one = self._served[model]
        values = one.module(*(torch.from_numpy(inputs[spec.name]) for spec in one.contract.inputs))
        answers = values if isinstance(values, tuple) else (values,)
        named = dict(zip((spec.name for spec in one.contract.outputs), answers, strict=True))
        return {name: named[name].numpy() for name in outputs}
