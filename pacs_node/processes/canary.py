"""A tiny inference with every model that the rules need: "ready" is not enough, a dead model process is ready, too."""

from __future__ import annotations

import numpy as np

from inference.contract import Contract
from inference.predictor import Predictor
from pacs_node.node import Node


def canary(node: Node) -> str:
    """Run zeros through every model in use.

    Returns
    -------
    a sentence about what answered

    Raises
    ------
    InferenceError
    """
    names = sorted({rule.pipeline for rule in node.config.rule})
    detectors = [node.models.contract(name) for name in names]
    heads = [node.models.contract(contract.head) for contract in detectors if contract.head]
    for contract in [*detectors, *heads]:
        _infer_zeros(node.predictor(), contract)
    return f"{', '.join(f'{c.model} version {c.version}' for c in [*detectors, *heads])} answered a canary"


def _infer_zeros(predictor: Predictor, contract: Contract) -> None:
    inputs = {spec.name: np.zeros((1, *spec.shape), np.float32) for spec in contract.inputs}
    predictor.infer(contract.model, contract.version, inputs, [contract.outputs[0].name])
