"""What papers 2, 3 and 4 print of their trainings is in the recipes that bear their names (NETWORKS 2.4-2.6, 3.3, 4.4).

Papers 1 and 5 have this beside their systems' other tests.
"""

from __future__ import annotations

import dataclasses

import pytest

from training.labels.malignancy import LabelRule
from training.networks.detection_guided import DetectionGuided, Output, detection_guided_paper
from training.networks.jnsc import jnsc_paper
from training.networks.mt_net import mt_net_paper
from training.systems import detection_guided, detection_guided_branches, mt_net
from training.systems.jnsc import recipes as jnsc


def test_mt_net_is_trained_as_paper_2_says() -> None:
    recipe = mt_net.RECIPES["mt_net_paper"]()
    assert recipe.networks == mt_net_paper()
    assert (recipe.epochs, recipe.batches, recipe.rate) == ((100, 100, 100), (16, 32), 1e-4)
    assert (recipe.rank.factor, recipe.rank.hardest, recipe.rank.margin) == (0.02, 20, 0.3)
    assert (recipe.choice.diameters_mm, recipe.choice.rule) == ((3.0, 25.0), LabelRule.MEAN_STRICT3)
    assert recipe.choice.share == pytest.approx(2 / 3)
    assert not recipe.learns_uncertain, "malignancy 3 is dropped"
    assert (recipe.binarise, recipe.has_prior) == (None, True)


def test_detection_guided_is_trained_as_paper_3_says() -> None:
    recipe = detection_guided.RECIPES["detection_guided_paper"]()
    assert (recipe.network, recipe.network.iteration) == (detection_guided_paper(), "derived")
    assert (recipe.epochs, detection_guided.BATCH, recipe.learning_rate, recipe.rate) == (
        (200, 0, 50),
        10,
        1e-3,
        "constant",
    )
    assert (recipe.transfer_share, detection_guided_branches.WEIGHT_DECAY) == (1.0, 1e-8)
    before, after = recipe.branches
    assert (before.output, after.output) == (Output.PLAIN, Output.STD_PRIOR), "smoothing comes with the transfer"
    assert after.is_pretrained and after.frozen is None, "best without freezing, whatever the abstract says"


def test_the_printed_iteration_of_paper_3_is_the_only_thing_that_its_recipe_changes() -> None:
    made = detection_guided.RECIPES["detection_guided_as_printed"]()
    served = detection_guided.RECIPES["detection_guided_cpu"]()
    assert made.network == dataclasses.replace(served.network, iteration="as_printed")
    assert dataclasses.replace(made, name=served.name, network=served.network) == served
    assert DetectionGuided(made.network).std.iteration == "as_printed"


def test_jnsc_is_trained_as_paper_4_says() -> None:
    recipe = jnsc.RECIPES["jnsc_paper"]()
    assert recipe.network == jnsc_paper()
    first, second = recipe.phases
    assert second.steps == 9 * first.steps, "epochs 0 to 99 without the head, 100 to 999 with it"
    assert (first.classify, second.classify) == (False, True)
    assert {(stretch.size, stretch.batch) for stretch in recipe.phases} == {(64, 12)}
    assert (recipe.learning_rate, recipe.schedule, recipe.clip) == (1e-3, "steps", 1.0)
    assert (recipe.weights, recipe.dice) == ("resolved", 0.0)
    assert (recipe.mixture.patch, recipe.mixture.background) == (0.5, 0.5), "one window with a nodule, one without"
