"""What one step is trained on, and the stretches that steps belong to. Called from `training.systems.jnsc.recipe`.

Shape suffixes: B batch, K J I space; 1 = one channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from training.data.bank import Bank, Mixture, draw
from training.systems.jnsc.inputs import normalised

WARM_UP = 50
"""Steps in which the learning rate rises."""

WIDE = 96
"""Voxels: enough surroundings for most of what reaches a voxel, at the cost of four windows of 64."""

Schedule = Literal["cosine", "steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of training; it becomes a phase.

    Parameters
    ----------
    steps, size, batch : how many steps with how many windows of how many voxels per axis
    classify : train the head too, jointly
    mine : first collect false findings of the network on the scans
    epoch : steps after which pseudo-labels move, where there are any; 0 = they stay as they are
    is_settled : BatchNorm keeps its statistics and is trained as it is served
    wide_every : each so many steps one window of `WIDE` voxels per axis takes the place of the others; 0 = none does
    """

    steps: int
    size: int
    batch: int
    classify: bool = False
    mine: bool = False
    epoch: int = 0
    is_settled: bool = False
    wide_every: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBatch:
    """Windows as the network sees them, and the codes of their voxels (`training.data.targets`)."""

    volume_B1KJI: Tensor
    target_BKJI: Tensor

    def to(self, device: str) -> WindowBatch:
        """The same on a device."""
        return WindowBatch(volume_B1KJI=self.volume_B1KJI.to(device), target_BKJI=self.target_BKJI.to(device))

    def part(self, rank: int, world: int) -> WindowBatch:
        """The windows of one of several processes."""
        return WindowBatch(volume_B1KJI=self.volume_B1KJI[rank::world], target_BKJI=self.target_BKJI[rank::world])


def drawn(bank: Bank, mixture: Mixture, stretch: Stretch, step: int, rng: np.random.Generator) -> WindowBatch:
    """A batch from the bank for a step of a stretch. Patches of 50 mm are too small for a wide window."""
    if stretch.wide_every and step % stretch.wide_every == 0:
        windows = [draw(bank, replace(mixture, patch=0.0, reflected_background=0.0), WIDE, rng)]
    else:
        windows = [draw(bank, mixture, stretch.size, rng) for _ in range(stretch.batch)]
    return WindowBatch(
        volume_B1KJI=normalised(np.stack([window.volume_hu for window in windows])[:, None]),
        target_BKJI=torch.from_numpy(np.stack([window.target for window in windows])),
    )


def rate(schedule: Schedule, step: int, steps: int) -> float:
    """Factor of the learning rate at a step of the whole training.

    Parameters
    ----------
    schedule : "cosine" after a warm-up, or "steps": times 0.2 after each quarter (paper 4, section III-A)
    """
    if schedule == "steps":
        return float(0.2 ** (4 * step // steps))
    warm = min(1.0, (step + 1) / WARM_UP)
    return warm * max(0.02, 0.5 * (1 + math.cos(math.pi * step / steps)))
