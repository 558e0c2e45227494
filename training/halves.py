"""Weights in half their room: rounded to what float16 holds before they are measured, stored as float16 in a release.

What is measured computes with the rounded weights, in float32; a release stores these very numbers, so that nothing is
lost between the two. Checkpoints keep the exact weights. Called from `training.cli.measure` and `training.export`.
"""

from __future__ import annotations

import numpy as np
import torch
from onnxscript import ir, optimizer
from torch import nn

SMALLEST = 1_000
"""Numbers of a tensor; smaller ones take no room worth saving and stay exact."""

HALF_UNIT = 2.0**-11
"""Largest relative error of rounding to float16 from 2**-14 to 65504 (IEEE 754 binary16: 11 significant bits)."""


@torch.no_grad()
def round_weights(module: nn.Module) -> None:
    """Round large weights in place.

    Vectors stay exact: biases take no room, and a running variance may be smaller than float16 can tell. So do weights
    that would change by more than `HALF_UNIT` of their norm: there are numbers above 65504, or most are below 2**-14.
    """
    for value in module.state_dict().values():
        if value.is_floating_point() and value.ndim > 1 and value.numel() >= SMALLEST:
            rounded = value.half().to(value.dtype)
            if (rounded - value).norm() <= HALF_UNIT * value.norm():
                value.copy_(rounded)


def store_halves(model: ir.Model) -> None:
    """Store as float16, with a Cast to float32, every large tensor that loses nothing by it, and simplify the rest.

    Parameters
    ----------
    model : as it is exported and not yet optimised, changed in place. The optimiser would multiply the scale of a batch
        norm into the weights before it, and nothing would be left that float16 holds; behind a Cast it leaves them
        alone. Runtimes fold the Casts and then the batch norms when they load the file.
    """
    for value in list(model.graph.initializers.values()):
        if value.dtype == ir.DataType.FLOAT and value.const_value is not None:
            _halve(model.graph, value, value.const_value.numpy())
    optimizer.optimize_ir(model, should_fold=lambda node: False if _widens(node) else None)


def _halve(graph: ir.Graph, value: ir.Value, numbers: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        halves = numbers.astype(np.float16)
    if numbers.size < SMALLEST or not np.array_equal(halves.astype(np.float32), numbers):
        return
    wide = ir.Value(name=f"{value.name}.float32", type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
    value.replace_all_uses_with(wide, replace_graph_outputs=True)
    value.const_value, value.dtype = ir.tensor(halves, name=value.name), ir.DataType.FLOAT16
    cast = ir.node("Cast", [value], {"to": ir.DataType.FLOAT}, outputs=[wide])
    graph.insert_before(graph[0], cast)


def _widens(node: ir.Node) -> bool:
    return node.op_type == "Cast" and node.inputs[0] is not None and node.inputs[0].dtype == ir.DataType.FLOAT16
