"""What the loop knows of a published system: modules, optimisers, phases with their turns, and what is served.

A system is data: plain functions in frozen records, made by a recipe (`training.systems`). `training.loop` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from training.evaluation.outcome import Outcome
from training.served import Served
from training.sources import Sources

Modules = nn.ModuleDict
Losses = dict[str, Tensor]
Memory = dict[str, Any]
"""What a training remembers beside weights, by name: anything that JSON can hold. It lies in the checkpoint."""


class Batch(Protocol):
    """What one step is trained on; a frozen dataclass of tensors."""

    def to(self, device: str) -> Batch:
        """The same on a device."""
        ...

    def part(self, rank: int, world: int) -> Batch:
        """The samples of one of `world` processes: every `world`-th one, from `rank` on."""
        ...


def nothing(model: Modules, memory: Memory) -> None:
    """Nothing happens."""


def as_they_are(served: Sequence[Served], figures: Mapping[str, Any]) -> Sequence[Served]:
    """Models that need nothing from their evaluation."""
    return served


def constant(share: float) -> float:
    """A learning rate that stays."""
    return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One optimiser's part of a step.

    Parameters
    ----------
    optimiser : its name in the system
    losses : (modules, batch, memory) to the terms whose sum is minimised, by name; it may write to the memory
    clip : largest norm of the gradient; None = not clipped
    after : told the modules once the optimiser has stepped (a WGAN critic's weights are clamped here)
    """

    optimiser: str
    losses: Callable[[Modules, Any, Memory], Losses]
    clip: float | None = None
    after: Callable[[Modules, Memory], None] = nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of training.

    Parameters
    ----------
    name : shown to people
    steps, epoch : how many steps; how many make an epoch
    turns : in their order within a step
    batch : (step of this phase, memory) to its batch. Depends on nothing else: a resumed run sees the same batches
    rate : share of the phase that is done, 0..1, to the factor of the learning rates
    enter : before the first step, e.g. to start one network from another's weights; must be harmless if done twice
    after_epoch : after the last step of each epoch
    validate_every : epochs between two validations; 0 = only at the end of the phase
    """

    name: str
    steps: int
    epoch: int
    turns: tuple[Turn, ...]
    batch: Callable[[int, Memory], Batch]
    rate: Callable[[float], float] = constant
    enter: Callable[[Modules, Memory], None] = nothing
    after_epoch: Callable[[Modules, Memory], None] = nothing
    validate_every: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One published system with its data, ready to be trained.

    Parameters
    ----------
    build : fresh modules; the seed is set before
    optimisers : of the modules, by name, with their highest learning rates
    phases : in order
    validate : figures on validation patients, e.g. {"dice": 0.84}; the modules are in evaluation mode
    served : the models to export, the ones that feed others first
    finish : told averaged modules once, after the last step; what it makes of them replaces weights and average
    calibrated : the served models with what only an evaluation can tell them (its figures), e.g. an operating score
    """

    build: Callable[[], Modules]
    optimisers: Callable[[Modules], Mapping[str, Optimizer]]
    phases: tuple[Phase, ...]
    validate: Callable[[Modules], dict[str, float]]
    served: Callable[[Modules], tuple[Served, ...]]
    finish: Callable[[Modules, Memory], None] | None = None
    calibrated: Callable[[Sequence[Served], Mapping[str, Any]], Sequence[Served]] = as_they_are

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(phase.steps for phase in self.phases)

    def at(self, step: int) -> tuple[Phase, int]:
        """The phase that a step belongs to, and the step's number in it."""
        for phase in self.phases:
            if step < phase.steps:
                return phase, step
            step -= phase.steps
        raise IndexError(step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a system is trained, whatever system it is.

    Parameters
    ----------
    seed : of everything random
    precision : "bfloat16" lets torch choose it where it is safe and the hardware has it; the weights stay float32
    average : decay of the running mean of the weights, which then is what is validated and exported; 0 = none
    """

    seed: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    average: float = 0.0


class Recipe(Protocol):
    """A complete training: a frozen dataclass that a function returns. `training.catalogue` knows them by name."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        ...

    @property
    def settings(self) -> Settings:
        """For the loop."""
        ...

    @property
    def parity(self) -> float:
        """The largest absolute difference between torch and ONNX that export accepts."""
        ...

    def system(self, sources: Sources) -> System:
        """What is trained, with its data."""
        ...

    def evaluate(self, sources: Sources, model: Modules, tell: Callable[[str], None]) -> Outcome:
        """Measure trained modules on validation patients, through the code that serves."""
        ...
