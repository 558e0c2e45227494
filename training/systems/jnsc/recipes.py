"""The recipes of JNSC by name: the paper's, the one that is served, and one for tests."""

from __future__ import annotations

from collections.abc import Callable

from training.data.bank import Mixture
from training.networks.jnsc import jnsc_paper, jnsc_reduced, jnsc_tiny
from training.system import Settings
from training.systems.jnsc.batches import Stretch
from training.systems.jnsc.recipe import JnscRecipe


def jnsc_paper_recipe() -> JnscRecipe:
    """The paper's schedule, for a GPU: 1000 epochs of two windows per patient (312), the head from epoch 100 on."""
    epoch = 52
    return JnscRecipe(
        name="jnsc_paper",
        network=jnsc_paper(),
        phases=(
            Stretch(steps=100 * epoch, size=64, batch=12),
            Stretch(steps=900 * epoch, size=64, batch=12, classify=True),
        ),
        mixture=Mixture(patch=0.5, background=0.5, phantom_nodule=0, pasted=0, hard=0, reflected_background=0),
        schedule="steps",
    )


def jnsc_cpu() -> JnscRecipe:
    """Half the width on one CPU thread in about an hour; what is served."""
    return JnscRecipe(
        name="jnsc_cpu",
        network=jnsc_reduced(),
        phases=(
            Stretch(steps=900, size=48, batch=4),
            Stretch(steps=1000, size=64, batch=4, mine=True),
            Stretch(steps=500, size=64, batch=4, mine=True, classify=True),
            Stretch(steps=600, size=64, batch=4, mine=True, classify=True),
        ),
        weights="milder",
        learning_rate=2e-3,
        dice=1.0,
        refits=True,
        phantoms=tuple(range(1, 13)),
        settings=Settings(precision="bfloat16", average=0.99),
    )


def jnsc_smoke() -> JnscRecipe:
    """Seconds, for tests: shows that the loop learns."""
    return JnscRecipe(
        name="jnsc_smoke",
        network=jnsc_tiny(),
        phases=(Stretch(steps=200, size=32, batch=2), Stretch(steps=10, size=32, batch=2, classify=True)),
        learning_rate=1e-2,
        dice=1.0,
        has_backgrounds=False,
    )


RECIPES: dict[str, Callable[[], JnscRecipe]] = {
    "jnsc_paper": jnsc_paper_recipe,
    "jnsc_cpu": jnsc_cpu,
    "jnsc_smoke": jnsc_smoke,
}
