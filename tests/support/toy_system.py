"""The smallest system with two optimisers and two phases: a line fitted to points, and a critic of little use."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.system import Losses, Memory, Modules, Phase, System, Turn

LIMIT = 0.0625


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """x and y = 2 x - 1, shape (b, 1)."""

    x: Tensor
    y: Tensor

    def to(self, device: str) -> Points:
        return Points(x=self.x.to(device), y=self.y.to(device))

    def part(self, rank: int, world: int) -> Points:
        return Points(x=self.x[rank::world], y=self.y[rank::world])


def _points(step: int, memory: Memory) -> Points:
    x = torch.from_numpy(np.random.default_rng([7, step]).uniform(-1, 1, (8, 1)).astype(np.float32))
    return Points(x=x, y=2 * x - 1)


def _fit(model: Modules, batch: Points, memory: Memory) -> Losses:
    drop = model["drop"](torch.ones_like(batch.x))
    return {"square": ((model["line"](batch.x) - batch.y) ** 2).mean() + 0 * drop.sum()}


def _judge(model: Modules, batch: Points, memory: Memory) -> Losses:
    return {"critic": -model["critic"](batch.y).mean()}


def _clamp(model: Modules, memory: Memory) -> None:
    for parameter in model["critic"].parameters():
        parameter.data.clamp_(-LIMIT, LIMIT)


def _count(model: Modules, memory: Memory) -> None:
    memory["epochs"] = memory.get("epochs", 0) + 1


def _halve(model: Modules, memory: Memory) -> None:
    """As starting one network from another does, this is harmless if done twice."""
    with torch.no_grad():
        model["line"].bias.fill_(0.5)


def _validate(model: Modules) -> dict[str, float]:
    return {"slope": float(model["line"].weight)}


def toy_system() -> System:
    """Thirty steps: twenty with both turns, ten with one."""
    first = Turn(optimiser="line", losses=_fit, clip=1.0)
    second = Turn(optimiser="critic", losses=_judge, after=_clamp)

    def build() -> Modules:
        return nn.ModuleDict({"line": nn.Linear(1, 1), "critic": nn.Linear(1, 1), "drop": nn.Dropout(0.5)})

    def optimisers(model: Modules) -> dict[str, Any]:
        return {
            "line": torch.optim.Adam(model["line"].parameters(), lr=0.3),
            "critic": torch.optim.RMSprop(model["critic"].parameters(), lr=0.1),
        }

    both = Phase(name="both", steps=20, epoch=5, turns=(first, second), batch=_points, after_epoch=_count)
    alone = dataclasses.replace(
        both, name="alone", steps=10, turns=(first,), rate=lambda share: 1 - share, enter=_halve
    )
    return System(build=build, optimisers=optimisers, phases=(both, alone), validate=_validate, served=lambda model: ())
