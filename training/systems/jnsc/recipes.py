"""The recipes of JNSC by name: the paper's, the one that is served, two that compare labels, and those for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from training.data.bank import Mixture
from training.networks.jnsc import jnsc_paper, jnsc_quarter, jnsc_reduced, jnsc_tiny
from training.system import Settings
from training.systems.jnsc.batches import Stretch
from training.systems.jnsc.pseudo import PseudoLabels
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
    """Half the width on one CPU thread in about an hour, with the paper's norm, which needs windows that overlap."""
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


def jnsc_one_pass() -> JnscRecipe:
    """`jnsc_cpu` made over for one pass over a CT, with BatchNorm: `--start` with a run of that; what is served."""
    return dataclasses.replace(
        jnsc_cpu(),
        name="jnsc_one_pass",
        network=dataclasses.replace(jnsc_reduced(), norm="batch"),
        phases=(
            Stretch(steps=100, size=64, batch=4),
            Stretch(steps=500, size=64, batch=4, mine=True, wide_every=4),
            Stretch(steps=500, size=64, batch=4, mine=True, classify=True, is_settled=True, wide_every=4),
            Stretch(steps=450, size=64, batch=4, mine=True, classify=True, is_settled=True, wide_every=4),
            Stretch(steps=450, size=64, batch=4, mine=True, classify=True, is_settled=True, wide_every=4),
        ),
        learning_rate=1e-3,
    )


def jnsc_hard_labels() -> JnscRecipe:
    """A quarter of the width, half of the training nodules with two readers: hard labels, about 15 minutes of a CPU.

    The twin of `jnsc_pseudo_labels`: the same windows in the same order. Smaller windows than `jnsc_cpu`, most of them
    of nodules; no phantoms, no mining and no last fit of the head, so that what labels do to the training is seen.
    """
    return JnscRecipe(
        name="jnsc_hard_labels",
        network=jnsc_quarter(),
        phases=(
            Stretch(steps=600, size=48, batch=4),
            Stretch(steps=300, size=48, batch=4, classify=True),
            Stretch(steps=1100, size=48, batch=4, classify=True, epoch=50),
        ),
        mixture=Mixture(patch=0.8, background=0.1, reflected_background=0.1, phantom_nodule=0, pasted=0, hard=0),
        weights="milder",
        learning_rate=2e-3,
        dice=1.0,
        is_thinned=True,
        settings=Settings(average=0.99),
    )


def jnsc_pseudo_labels() -> JnscRecipe:
    """The same with pseudo-labels; they stay for the head's first 300 steps, then move every 50 (paper: each epoch)."""
    return dataclasses.replace(jnsc_hard_labels(), name="jnsc_pseudo_labels", pseudo=PseudoLabels())


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


def jnsc_pseudo_smoke() -> JnscRecipe:
    """Pseudo-labels in seconds, for tests: they stay for one stretch and move in the next."""
    return dataclasses.replace(
        jnsc_smoke(),
        name="jnsc_pseudo_smoke",
        phases=(
            Stretch(steps=50, size=32, batch=1),
            Stretch(steps=10, size=32, batch=1, classify=True),
            Stretch(steps=20, size=32, batch=1, classify=True, epoch=10),
        ),
        mixture=Mixture(patch=1, background=0, reflected_background=0, phantom_nodule=0, pasted=0, hard=0),
        pseudo=PseudoLabels(),
    )


RECIPES: dict[str, Callable[[], JnscRecipe]] = {
    "jnsc_paper": jnsc_paper_recipe,
    "jnsc_cpu": jnsc_cpu,
    "jnsc_one_pass": jnsc_one_pass,
    "jnsc_hard_labels": jnsc_hard_labels,
    "jnsc_pseudo_labels": jnsc_pseudo_labels,
    "jnsc_smoke": jnsc_smoke,
    "jnsc_pseudo_smoke": jnsc_pseudo_smoke,
}
