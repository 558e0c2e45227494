"""The refitted head tells apart what can be told apart."""

from __future__ import annotations

import numpy as np
import torch

from tests.support.torch_networks import a_nodule
from training.data.bank import Bank
from training.data.luna16 import Nodule
from training.networks.jnsc import Jnsc, JnscHead, features_from_maps, jnsc_tiny
from training.system import Modules
from training.systems.jnsc.inputs import continued, normalised
from training.systems.jnsc.refit import refit


@torch.no_grad()
def _malignancy(network: Jnsc, head: JnscHead, nodule: Nodule) -> float:
    maps = [tap[0] for tap in network.tap(network.encode(normalised(continued(nodule).volume_hu)[None, None]))]
    radius = int(nodule.diameter_mm / 2)
    box = ((32 - radius - 1, 32 + radius + 2),) * 3  # the patch's middle lies at 25 + 7
    features = features_from_maps(maps, box, int(nodule.mask.sum()), network.config.bins)
    benign, malignant, _ = head(features[None])[0].tolist()
    return float(malignant / (malignant + benign))


def test_large_malignant_and_small_benign_nodules_are_told_apart() -> None:
    torch.set_num_threads(1)
    small = [a_nodule(f"S{n}", 4 + 0.2 * n, (1, 1, 1)) for n in range(5)]
    large = [a_nodule(f"L{n}", 8 + 0.2 * n, (5, 5, 5)) for n in range(5)]
    torch.manual_seed(1)
    network, head = Jnsc(jnsc_tiny()), JnscHead(jnsc_tiny())
    bank = Bank(nodules=(*small, *large))
    model = Modules({"network": network, "head": head})
    outcome = refit(model, bank, "resolved", np.random.default_rng([1, 90, 2]))
    assert outcome["cross_validated_malignancy_auc"] > 0.95  # the untrained network proposes whole windows too
    assert _malignancy(network, head, large[2]) > 0.5 > _malignancy(network, head, small[2])
