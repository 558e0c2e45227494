"""Complete training configurations, as functions. The command line takes one by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from training.data.bank import Mixture
from training.losses.jnsc import Weights
from training.networks.jnsc import JnscConfig, jnsc_paper, jnsc_reduced, jnsc_tiny


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of training.

    Parameters
    ----------
    steps, size, batch : how many steps with how many windows of how many voxels per axis
    classify : train the head too, jointly
    mine : first collect false findings of the network on the scans
    """

    steps: int
    size: int
    batch: int
    classify: bool = False
    mine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training from beginning to end.

    Parameters
    ----------
    network, phases, mixture : what is trained, on what, in which order
    learning_rate : at its highest
    schedule : "cosine" after a warm-up of 50 steps, or "steps": times 0.2 after each quarter (paper 4, section III-A)
    weights : of the losses, see `training.losses.jnsc.loss_weights`
    dice : factor of the soft Dice term, which the paper does not have
    precision : of the dense network; "bfloat16" is twice as fast on a CPU that has it, but torch 2.13 gives
        wrong gradients at 2^3 voxels (windows of 32), hence for windows of 48 and more only
    clip : largest norm of the gradient
    average : decay of the running mean of the weights, which is what is exported; 0 = the weights themselves
    refit : fit the head once more on the finished network, see `training.refit`
    phantoms : seeds of the phantoms trained on
    seed : of everything random
    parity : largest difference between torch and ONNX that export accepts
    """

    name: str
    network: JnscConfig
    phases: tuple[Phase, ...]
    mixture: Mixture = Mixture()
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "steps"] = "cosine"
    weights: Weights = "resolved"
    dice: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    clip: float = 1.0
    average: float = 0.0
    refit: bool = False
    phantoms: tuple[int, ...] = ()
    seed: int = 1
    parity: float = 1e-4

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> tuple[Phase, bool]:
        """The phase that a step belongs to, and whether it is its first step."""
        first = 0
        for phase in self.phases:
            if step < first + phase.steps:
                return phase, step == first
            first += phase.steps
        raise IndexError(step)


def jnsc_paper_recipe() -> Recipe:
    """The paper's schedule, for a GPU: 1000 epochs of two windows per patient (312), the head from epoch 100 on."""
    epoch = 52
    return Recipe(
        name="jnsc_paper",
        network=jnsc_paper(),
        phases=(
            Phase(steps=100 * epoch, size=64, batch=12),
            Phase(steps=900 * epoch, size=64, batch=12, classify=True),
        ),
        mixture=Mixture(patch=0.5, background=0.5, phantom_nodule=0, pasted=0, hard=0, reflected_background=0),
        schedule="steps",
    )


def jnsc_cpu() -> Recipe:
    """Half the width on two CPU cores in about an hour; what is served."""
    return Recipe(
        name="jnsc_cpu",
        network=jnsc_reduced(),
        phases=(
            Phase(steps=600, size=48, batch=4),
            Phase(steps=600, size=64, batch=4, mine=True),
            Phase(steps=300, size=64, batch=4, mine=True, classify=True),
            Phase(steps=300, size=64, batch=4, mine=True, classify=True),
        ),
        weights="milder",
        learning_rate=2e-3,
        precision="bfloat16",
        dice=1.0,
        average=0.99,
        refit=True,
        phantoms=tuple(range(1, 13)),
    )


def jnsc_smoke() -> Recipe:
    """Seconds, for tests: shows that the loop learns."""
    return Recipe(
        name="jnsc_smoke",
        network=jnsc_tiny(),
        phases=(Phase(steps=80, size=32, batch=2), Phase(steps=10, size=32, batch=2, classify=True)),
        learning_rate=1e-2,
        dice=1.0,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "jnsc_paper": jnsc_paper_recipe,
    "jnsc_cpu": jnsc_cpu,
    "jnsc_smoke": jnsc_smoke,
}
