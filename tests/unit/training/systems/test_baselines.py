"""The comparison networks learn on either set of slices and are measured as if they were served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.torch_slices import FakeSources, a_slice, some_slices
from training.loop import Moment, fit
from training.systems.baselines import RECIPES, baseline_smoke

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # MONAI's own

FLOOR = 0.61
"""Of Dice: 70 % of the median of seeds 1 to 3, which reach 0.816, 0.875 and 0.920."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_the_smoke_recipe_learns_and_is_measured(tmp_path: Path) -> None:
    seen: list[Moment] = []
    recipe = baseline_smoke()
    own = FakeSources(some_slices(48), some_slices(8, first=1000))
    state = fit(recipe.system(own), recipe.settings, tmp_path, seen.append)
    losses = [sum(moment.losses.values()) for moment in seen]
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    assert seen[-1].figures["dice"] > FLOOR
    figures = recipe.evaluate(own, state.model.eval(), lambda text: None).figures
    assert figures["segmentation"]["dice"]["value"] == pytest.approx(seen[-1].figures["dice"], abs=0.001)
    assert "malignancy" not in figures


def test_every_baseline_has_a_recipe_for_either_set_of_slices() -> None:
    assert all(make().name == name for name, make in RECIPES.items())
    for network in ("unet", "attention_unet", "unet_plus_plus", "deeplab"):
        luna16, lidc = RECIPES[f"baseline_{network}"](), RECIPES[f"baseline_{network}_lidc"]()
        assert (luna16.place, lidc.place) == ("luna16", "lidc")
        assert luna16.network == lidc.network == network


def test_lidc_slices_are_those_of_mt_net_and_its_headline() -> None:
    recipe = replace(RECIPES["baseline_unet_lidc"](), batch=1)
    one, two = a_slice(20, readers=1), a_slice(21, readers=2)
    own = FakeSources((*some_slices(3), one, two), (a_slice(22, readers=2), a_slice(23)))
    system = recipe.system(own)
    assert system.phases[0].epoch == 4, "one reader is too few"
    torch.manual_seed(0)
    figures = recipe.evaluate(own, system.build().eval(), lambda text: None).figures
    assert (figures["slices"], figures["consensus"]) == (1, 0.667)
