"""All that a training needs to go on where it was stopped, and its file: numpy arrays and JSON, no pickle.

Called from `training.loop` and wherever a finished run is used.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from training.errors import NotEvaluated
from training.system import Memory, System

FILE = "checkpoint.npz"


@dataclass(slots=True, kw_only=True)
class State:
    """A training between two steps; the only mutable value of `training`.

    Parameters
    ----------
    step : how many steps are done
    model, optimisers : of the system
    average : running mean of the weights, by name
    memory : see `training.system.Memory`
    """

    step: int
    model: nn.ModuleDict
    optimisers: dict[str, Optimizer]
    average: dict[str, Tensor]
    memory: Memory


def fresh(system: System, seed: int, device: str = "cpu") -> State:
    """The state before the first step."""
    torch.manual_seed(seed)
    model = system.build().to(device)
    return State(
        step=0,
        model=model,
        optimisers=dict(system.optimisers(model)),
        average={name: value.detach().clone() for name, value in model.state_dict().items()},
        memory={},
    )


def save(state: State, folder: Path) -> None:
    """Write the checkpoint; the previous one stays whole until the new one is."""
    arrays = {f"model/{name}": value.cpu().numpy() for name, value in state.model.state_dict().items()}
    arrays |= {f"average/{name}": value.cpu().numpy() for name, value in state.average.items()}
    about: dict[str, Any] = {"step": state.step, "memory": state.memory, "optimisers": {}}
    for name, optimiser in state.optimisers.items():
        kept, about["optimisers"][name] = _parted(optimiser.state_dict())
        arrays |= {f"optimiser/{name}/{key}": value for key, value in kept.items()}
    new = folder / f"new-{FILE}"
    with new.open("wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / FILE)


def load(system: System, seed: int, folder: Path, device: str = "cpu") -> State:
    """The state that `save` wrote; the fresh one if there is none."""
    state = fresh(system, seed, device)
    if not (folder / FILE).exists():
        return state
    with np.load(folder / FILE, allow_pickle=False) as pack:
        arrays = {name: pack[name] for name in pack.files}
    about = json.loads(str(arrays.pop("about")))
    state.step, state.memory = about["step"], about["memory"]
    state.model.load_state_dict(_below("model", arrays))
    state.average = {name: value.to(device) for name, value in _below("average", arrays).items()}
    for name, optimiser in state.optimisers.items():
        optimiser.load_state_dict(_joined(_below(f"optimiser/{name}", arrays), about["optimisers"][name]))
    return state


def begin_with(system: System, seed: int, folder: Path, other: Path) -> tuple[str, ...]:
    """Write the first checkpoint of a run that begins with the averaged weights of another one, where they fit.

    Returns
    -------
    the names of weights that the other run lacks, or has in another shape; they are as in a fresh run

    Raises
    ------
    NotEvaluated : the other run has no weights yet
    """
    if not (other / FILE).exists():
        raise NotEvaluated(f"{other} holds no trained weights to begin with; train it first, or name another run")
    state = fresh(system, seed)
    with np.load(other / FILE, allow_pickle=False) as pack:
        theirs = _below("average", {name: pack[name] for name in pack.files})
    own = state.model.state_dict()
    fitting = {name: theirs[name] for name in own if name in theirs and theirs[name].shape == own[name].shape}
    state.model.load_state_dict(own | fitting)
    state.average |= fitting
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:  # of this process: others of torchrun write the same
        save(state, Path(place))
        (Path(place) / FILE).replace(folder / FILE)
    return tuple(name for name in own if name not in fitting)


def averaged(system: System, state: State, *, is_average: bool) -> nn.ModuleDict:
    """A copy of the modules for use and export, with the running mean of the weights or with the weights themselves."""
    model = system.build()
    model.load_state_dict(state.average if is_average else state.model.state_dict())
    return model.eval()


def _parted(optimiser: Mapping[str, Any]) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
    """Tensors of an optimiser's state apart from its numbers."""
    tensors, numbers = {}, {}
    for index, entry in optimiser["state"].items():
        for key, value in entry.items():
            if isinstance(value, Tensor):
                tensors[f"{index}/{key}"] = value.cpu().numpy()
            else:
                numbers[f"{index}/{key}"] = value
    return tensors, {"state": numbers, "groups": optimiser["param_groups"]}


def _joined(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **about["state"]}.items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = value
    return {"state": state, "param_groups": about["groups"]}


def _below(prefix: str, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name[len(start) :]: torch.from_numpy(a.copy()) for name, a in arrays.items() if name.startswith(start)}
