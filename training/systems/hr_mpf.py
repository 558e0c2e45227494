"""Recipes of HR-MPF (paper 1): the paper's, two for CPUs, one for tests, and the rows of its tables 4 to 6.

What is trained and how: `training.systems.hr_mpf_training`. Called from `training.catalogue`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from training.data.slices import Variation
from training.data.splits import SplitRule
from training.networks.hr_mpf import hr_mpf_paper, hr_mpf_reduced, hr_mpf_tiny, hrnet
from training.system import Settings
from training.systems.hr_mpf_training import HrMpfRecipe, LossWeights, Rates


def hr_mpf_paper_recipe() -> HrMpfRecipe:
    """The paper's network and training, 80 epochs: about 90 minutes of one CPU thread, 15 ms per image."""
    return HrMpfRecipe(name="hr_mpf_paper", network=hr_mpf_paper(), epochs=80, settings=Settings(precision="bfloat16"))


def hr_mpf_as_printed() -> HrMpfRecipe:
    """The paper's training on the paper's leaky split; its figures say nothing about new patients."""
    untouched = Variation(shift=0, turns=(0,), is_exhaustive=True)
    return dataclasses.replace(
        hr_mpf_paper_recipe(), name="hr_mpf_as_printed", split=SplitRule.AS_PRINTED, variation=untouched
    )


QUICK = Rates(network=1e-3, epsilon=1e-12, is_falling=True)
"""An optimiser that adapts, see `Rates.epsilon`."""


def hr_mpf_resolved() -> HrMpfRecipe:
    """The paper's network, losses and variations with an optimiser that adapts, each nodule shown 84 times; served.

    Beyond the paper: a running mean of the weights; the mean answer over the eight ways to put a slice.
    """
    return dataclasses.replace(
        hr_mpf_paper_recipe(),
        name="hr_mpf_resolved",
        epochs=12,
        rates=QUICK,
        settings=Settings(precision="bfloat16", average=0.99),
        is_turned=True,
    )


def hr_mpf_dice() -> HrMpfRecipe:
    """The same with cross entropy and Dice instead of boundary loss and critic, three slices of each nodule, 26 epochs.

    Shifted by up to three pixels, too; an epoch varies each slice once.
    """
    return dataclasses.replace(
        hr_mpf_resolved(),
        name="hr_mpf_dice",
        epochs=26,
        drawn=3,
        variation=Variation(),
        weights=LossWeights(adversarial=0.0, boundary=0.0, dice=1.0),
        gan="none",
    )


def hr_mpf_cpu() -> HrMpfRecipe:
    """Half the width with HRNet's blocks, the critic too, 10 epochs: about 6 minutes of one CPU thread."""
    return HrMpfRecipe(
        name="hr_mpf_cpu",
        network=hr_mpf_reduced(),
        epochs=10,
        settings=Settings(precision="bfloat16"),
        critic_width=32,
        rates=QUICK,
    )


def hr_mpf_scd() -> HrMpfRecipe:
    """Table 6, S + C + D, and table 5 (c): half the width, 5 epochs, about 3 minutes of one CPU thread."""
    return dataclasses.replace(
        hr_mpf_cpu(), name="hr_mpf_scd", network=dataclasses.replace(hr_mpf_paper(), width=16), epochs=5
    )


def hr_mpf_sc() -> HrMpfRecipe:
    """Table 6, S + C: without the critic."""
    return dataclasses.replace(hr_mpf_scd(), name="hr_mpf_sc", gan="none")


def hr_mpf_s() -> HrMpfRecipe:
    """Table 6, S, and table 4, HR-MPF: without critic and classifier."""
    return _with_network(hr_mpf_sc(), "hr_mpf_s", is_classifying=False)


def hr_mpf_hrnet_v1() -> HrMpfRecipe:
    """Table 4, HRNetV1: only its finest branch goes on."""
    return dataclasses.replace(
        hr_mpf_s(), name="hr_mpf_hrnet_v1", network=dataclasses.replace(hrnet("hrnet_v1", 16), is_classifying=False)
    )


def hr_mpf_hrnet_v2() -> HrMpfRecipe:
    """Table 4, HRNetV2: all its branches go on."""
    return dataclasses.replace(
        hr_mpf_s(), name="hr_mpf_hrnet_v2", network=dataclasses.replace(hrnet("hrnet_v2", 16), is_classifying=False)
    )


def hr_mpf_fusion_a() -> HrMpfRecipe:
    """Table 5 (a): up, convolution, boosted module."""
    return _with_network(hr_mpf_scd(), "hr_mpf_fusion_a", fusion="a")


def hr_mpf_fusion_b() -> HrMpfRecipe:
    """Table 5 (b): up, boosted module, convolution."""
    return _with_network(hr_mpf_scd(), "hr_mpf_fusion_b", fusion="b")


def hr_mpf_no_boundary() -> HrMpfRecipe:
    """Figures 12 and 13, without the boundary loss."""
    return dataclasses.replace(hr_mpf_scd(), name="hr_mpf_no_boundary", weights=LossWeights(boundary=0.0))


def hr_mpf_smoke() -> HrMpfRecipe:
    """Seconds, for tests: shows that both turns learn."""
    return HrMpfRecipe(
        name="hr_mpf_smoke",
        network=hr_mpf_tiny(),
        epochs=3,
        critic_width=4,
        rates=dataclasses.replace(QUICK, network=5e-3),
    )


def _with_network(recipe: HrMpfRecipe, name: str, **changes: Any) -> HrMpfRecipe:
    return dataclasses.replace(recipe, name=name, network=dataclasses.replace(recipe.network, **changes))


RECIPES: dict[str, Callable[[], HrMpfRecipe]] = {
    "hr_mpf_paper": hr_mpf_paper_recipe,
    "hr_mpf_resolved": hr_mpf_resolved,
    "hr_mpf_dice": hr_mpf_dice,
    "hr_mpf_cpu": hr_mpf_cpu,
    "hr_mpf_scd": hr_mpf_scd,
    "hr_mpf_sc": hr_mpf_sc,
    "hr_mpf_s": hr_mpf_s,
    "hr_mpf_hrnet_v1": hr_mpf_hrnet_v1,
    "hr_mpf_hrnet_v2": hr_mpf_hrnet_v2,
    "hr_mpf_fusion_a": hr_mpf_fusion_a,
    "hr_mpf_fusion_b": hr_mpf_fusion_b,
    "hr_mpf_no_boundary": hr_mpf_no_boundary,
    "hr_mpf_as_printed": hr_mpf_as_printed,
    "hr_mpf_smoke": hr_mpf_smoke,
}
"""Half-width rows take minutes each; the paper's two take hours on a CPU."""
