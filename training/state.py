"""All that a training needs to go on where it was stopped, and its file: numpy arrays and JSON, no pickle.

Called from `training.trainer`, `training.export` and `training.evaluation`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.geometry import Shape
from training.networks.jnsc import Jnsc, JnscHead
from training.recipes import Recipe

FILE = "checkpoint.npz"


@dataclass(slots=True, kw_only=True)
class State:
    """A training between two steps; the only mutable value of `training`.

    Parameters
    ----------
    step : how many steps are done
    model : "network" and "head"
    optimiser : Adam over all of `model`
    average : running mean of the weights, by name
    hard : places of false findings, by scan
    """

    step: int
    model: nn.ModuleDict
    optimiser: torch.optim.Adam
    average: dict[str, Tensor]
    hard: dict[str, list[Shape]]

    @property
    def network(self) -> Jnsc:
        """The dense network as it is trained."""
        network = self.model["network"]
        assert isinstance(network, Jnsc)
        return network

    @property
    def head(self) -> JnscHead:
        """The head as it is trained."""
        head = self.model["head"]
        assert isinstance(head, JnscHead)
        return head


def fresh(recipe: Recipe) -> State:
    """The state before the first step."""
    torch.manual_seed(recipe.seed)
    model = nn.ModuleDict({"network": Jnsc(recipe.network), "head": JnscHead(recipe.network)})
    return State(
        step=0,
        model=model,
        optimiser=torch.optim.Adam(model.parameters(), lr=recipe.learning_rate),
        average={name: value.detach().clone() for name, value in model.state_dict().items()},
        hard={},
    )


def save(state: State, folder: Path) -> None:
    """Write the checkpoint; the previous one stays whole until the new one is."""
    arrays = {f"model/{name}": value.numpy() for name, value in state.model.state_dict().items()}
    arrays |= {f"average/{name}": value.numpy() for name, value in state.average.items()}
    for number, moments in state.optimiser.state_dict()["state"].items():
        arrays |= {f"adam/{number}/{name}": value.numpy() for name, value in moments.items()}
    about = json.dumps({"step": state.step, "hard": state.hard})
    new = folder / f"new-{FILE}"
    np.savez(new, about=np.array(about), **arrays)
    new.replace(folder / FILE)


def load(recipe: Recipe, folder: Path) -> State:
    """The state that `save` wrote; the fresh one if there is none."""
    state = fresh(recipe)
    if not (folder / FILE).exists():
        return state
    with np.load(folder / FILE, allow_pickle=False) as pack:
        arrays = {name: pack[name] for name in pack.files}
    about = json.loads(str(arrays.pop("about")))
    state.step, state.hard = (
        about["step"],
        {name: [_shape(p) for p in places] for name, places in about["hard"].items()},
    )
    state.model.load_state_dict(_below("model", arrays))
    state.average = _below("average", arrays)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _below("adam", arrays).items():
        number, moment = name.split("/")
        moments.setdefault(int(number), {})[moment] = value
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": moments, "param_groups": groups})
    return state


def averaged(recipe: Recipe, state: State) -> tuple[Jnsc, JnscHead]:
    """Network and head with the averaged weights, for use and export."""
    copy = fresh(recipe)
    copy.model.load_state_dict(state.average if recipe.average else state.model.state_dict())
    copy.model.eval()
    return copy.network, copy.head


def _below(prefix: str, arrays: dict[str, NDArray[np.generic]]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {name[len(start) :]: torch.from_numpy(a.copy()) for name, a in arrays.items() if name.startswith(start)}


def _shape(place: list[int]) -> Shape:
    return place[0], place[1], place[2]
