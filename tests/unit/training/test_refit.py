"""The refitted head tells apart what can be told apart."""

from __future__ import annotations

import dataclasses

import torch

from tests.support.torch_networks import a_nodule
from training.data.bank import Bank, target_of
from training.data.luna16 import Nodule
from training.data.windows import cut
from training.inputs import normalised
from training.networks.jnsc import Jnsc, JnscHead, features_from_maps
from training.recipes import jnsc_smoke
from training.refit import refit
from training.state import averaged, fresh


@torch.no_grad()
def _malignancy(network: Jnsc, head: JnscHead, nodule: Nodule) -> float:
    window = cut(nodule.patch_hu, target_of(nodule), (-7,) * 3, 64)
    maps = [tap[0] for tap in network.tap(network.encode(normalised(window.volume_hu[None, None])))]
    radius = int(nodule.diameter_mm / 2)
    box = ((32 - radius - 1, 32 + radius + 2),) * 3  # the patch's middle lies at 25 + 7
    features = features_from_maps(maps, box, int(nodule.mask.sum()), network.config.bins)
    benign, malignant, _ = head(features[None])[0].tolist()
    return float(malignant / (malignant + benign))


def test_large_malignant_and_small_benign_nodules_are_told_apart() -> None:
    torch.set_num_threads(1)
    small = [a_nodule(f"S{n}", 4 + 0.2 * n, (1, 1, 1)) for n in range(5)]
    large = [a_nodule(f"L{n}", 8 + 0.2 * n, (5, 5, 5)) for n in range(5)]
    recipe = dataclasses.replace(jnsc_smoke(), average=0.9)
    state = fresh(recipe)
    outcome = refit(recipe, Bank(nodules=(*small, *large)), state)
    assert outcome["cross_validated_malignancy_auc"] > 0.95  # the untrained network proposes whole windows too
    network, head = averaged(recipe, state)
    assert _malignancy(network, head, large[2]) > 0.5 > _malignancy(network, head, small[2])
