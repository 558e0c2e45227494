"""The training loop, for all systems: one process or several, one optimiser or two. Called from `training.cli`.

Every step's batch and random numbers follow from (seed, step) alone, so that a run that was stopped and taken up again
gives the same weights as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from training import checkpoint
from training.checkpoint import State
from training.place import Place
from training.system import Batch, Losses, Memory, Modules, Settings, System, Turn

CHECKPOINT_S = 60.0
HERE = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a watcher is told after a step.

    Parameters
    ----------
    step : how many steps are done, of all phases
    phase : its name
    losses : of the step
    figures : of the validation, if there was one
    """

    step: int
    phase: str
    losses: dict[str, float]
    figures: dict[str, float]


def fit(
    system: System,
    settings: Settings,
    folder: Path,
    watch: Callable[[Moment], None],
    *,
    place: Place = HERE,
    stop: int | None = None,
) -> State:
    """Train from the folder's checkpoint, or from the beginning.

    Parameters
    ----------
    folder : where the checkpoint is
    watch : told every step
    place : device and processes
    stop : step to stop at; the last one if None
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = checkpoint.load(system, settings.seed, folder, place.device)
    turns = _wrapped(state.model, settings, place)
    highest = {name: [g["lr"] for g in o.param_groups] for name, o in system.optimisers(state.model).items()}
    for step, batch in _batches(system, state, stop or system.steps):
        phase, number = system.at(step)
        torch.manual_seed(settings.seed * 1_000_003 + step)
        state.model.train()
        losses: dict[str, float] = {}
        for turn in phase.turns:
            optimiser = state.optimisers[turn.optimiser]
            for group, rate in zip(optimiser.param_groups, highest[turn.optimiser], strict=True):
                group["lr"] = rate * phase.rate(number / phase.steps)
            parts: Losses = turns(turn, batch.to(place.device).part(place.rank, place.world), state.memory)
            optimiser.zero_grad(set_to_none=True)
            torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
            if turn.clip is not None:
                nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], turn.clip)
            optimiser.step()
            turn.after(state.model, state.memory)
            losses |= {name: value.item() for name, value in parts.items()}
        _average(state, settings)
        state.step = step + 1
        figures = _epoch_ended(system, settings, state)
        if state.step == system.steps:
            _finish(system, settings, state)
        if place.is_first:
            watch(Moment(step=state.step, phase=phase.name, losses=losses, figures=figures))
            if place.is_time(CHECKPOINT_S) or state.step == (stop or system.steps):
                checkpoint.save(state, folder)
    return state


class _Turns(nn.Module):
    """The modules with the losses of one turn as their forward pass, which is what DistributedDataParallel wants."""

    def __init__(self, model: Modules, settings: Settings, place: Place) -> None:
        super().__init__()
        self.model = model
        self._kind = place.device.split(":")[0]
        self._is_mixed = settings.precision == "bfloat16" and place.is_bfloat16_fast

    def forward(self, turn: Turn, batch: Any, memory: Memory) -> Losses:
        with torch.autocast(self._kind, dtype=torch.bfloat16, enabled=self._is_mixed):
            return {name: value.float() for name, value in turn.losses(self.model, batch, memory).items()}


def _wrapped(model: Modules, settings: Settings, place: Place) -> nn.Module:
    turns = _Turns(model, settings, place)
    return DistributedDataParallel(turns, find_unused_parameters=True) if place.world > 1 else turns


def _batches(system: System, state: State, stop: int) -> Iterator[tuple[int, Batch]]:
    """Steps with their batches; the next one is drawn while a step runs. A phase is entered before its first step."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for step in range(state.step, stop):
            phase, number = system.at(step)
            if number == 0:
                phase.enter(state.model, state.memory)
            current = waiting or pool.submit(phase.batch, number, state.memory)
            more = step + 1 < stop and number + 1 < phase.steps
            waiting = pool.submit(phase.batch, number + 1, state.memory) if more else None
            yield step, current.result()


def _epoch_ended(system: System, settings: Settings, state: State) -> dict[str, float]:
    """Do what the end of an epoch asks for; figures if it asks for a validation."""
    phase, number = system.at(state.step - 1)
    done, rest = divmod(number + 1, phase.epoch)
    if rest == 0:
        phase.after_epoch(state.model, state.memory)
    is_last = number + 1 == phase.steps
    is_due = rest == 0 and phase.validate_every and done % phase.validate_every == 0
    if not (is_last or is_due):
        return {}
    with torch.no_grad():
        return system.validate(checkpoint.averaged(system, state, is_average=settings.average > 0))


def _finish(system: System, settings: Settings, state: State) -> None:
    """Once, before the last checkpoint: a run that is taken up again either has it or will come here."""
    if system.finish is not None:
        model = checkpoint.averaged(system, state, is_average=settings.average > 0)
        system.finish(model, state.memory)
        state.model.load_state_dict(model.state_dict())
        for name, value in model.state_dict().items():
            state.average[name].copy_(value)


@torch.no_grad()
def _average(state: State, settings: Settings) -> None:
    if settings.average:
        for name, value in state.model.state_dict().items():
            if value.is_floating_point():
                state.average[name].lerp_(value, 1 - settings.average)
            else:
                state.average[name].copy_(value)
