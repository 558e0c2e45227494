"""Small networks and nodules for tests of `training`."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from training.data.bank import Bank
from training.data.luna16 import EDGE, Nodule

_COUNTED = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)


def multiply_accumulates(network: nn.Module, *shapes: tuple[int, ...]) -> int:
    """Multiplications of all convolutions and linear layers, counted while the network runs; for the "meta" device too.

    Parameters
    ----------
    shapes : of its inputs, without the batch axis
    """
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        side = inputs[0] if isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d) else output
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        total += side[0].numel() * weight[0].numel()

    layers = [module for module in network.modules() if isinstance(module, _COUNTED)]
    handles = [module.register_forward_hook(count) for module in layers]
    device = next(network.parameters()).device
    with torch.no_grad():
        network(*(torch.zeros(1, *shape, device=device) for shape in shapes))
    for handle in handles:
        handle.remove()
    return total


def parameters(network: nn.Module) -> int:
    """How many numbers are learnt."""
    return sum(parameter.numel() for parameter in network.parameters())


def a_nodule(patient: str = "P1", radius: float = 5.0, ratings: tuple[int, ...] = (2, 2, 1)) -> Nodule:
    """A ball of soft tissue in the middle of a patch of noisy lung."""
    axes = np.indices((EDGE,) * 3) - EDGE // 2
    ball = (axes**2).sum(0) <= radius**2
    noise = np.random.default_rng(0).normal(0, 15, ball.shape)
    return Nodule(
        nodule_id=f"{patient}:0",
        patient_id=patient,
        series_uid="1.2.3",
        patch_hu=(np.where(ball, 30, -850) + noise).astype(np.int16),
        mask=ball,
        others=np.zeros_like(ball),
        diameter_mm=2 * radius,
        ratings=ratings,
    )


def a_bank() -> Bank:
    """Three nodules of different size, no scans."""
    return Bank(nodules=(a_nodule("P1", 5), a_nodule("P2", 7, (4, 5, 4)), a_nodule("P3", 9, (3, 3, 3))))
