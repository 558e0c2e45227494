"""Labels of two readers: who becomes marginal, what each kind of label is, and where pseudo-labels end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.torch_networks import a_nodule
from training.networks.jnsc import Jnsc, jnsc_tiny
from training.systems.jnsc.label_study import PENALTY, Rated, fitted, fitted_pseudo, hard, rated, soft, study, thinned

RATINGS = [(1, 1), (2, 3), (4, 4), (5, 4), (2, 2, 2), (4, 4, 4)]


def test_half_of_the_nodules_keep_two_of_their_own_readers() -> None:
    ratings = [(1, 2, 3, 4)] * 10
    thin = thinned(ratings, np.random.default_rng(0))
    assert [len(some) for some in thin].count(2) == 5 == [len(some) for some in thin].count(4)
    assert all(len(set(some)) == len(some) for some in thin), "two different readers"
    assert thin != thinned(ratings, np.random.default_rng(1))


def test_hard_labels_follow_the_median_and_soft_ones_only_where_two_readers_are_in_doubt() -> None:
    assert hard(RATINGS).tolist() == [0, 0, 1, 1, 0, 1]
    # medians 1 and 4.5 lie outside 2..4, and three readers are certain; (2.5 - 1) / 4 and (4 - 1) / 4 are marginal
    assert soft(RATINGS).tolist() == [0, 0.375, 0.75, 1, 0, 1]


def test_the_fit_is_where_the_gradient_vanishes() -> None:
    x_N1, target_N = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]), torch.tensor([1.0, 0.5, 0.0, 0.5])
    weight, bias = fitted(x_N1, target_N)
    # by symmetry no bias; 2 * penalty * w = mean of (t - p) x = 0.75 - sigmoid(w)
    assert float(bias) == pytest.approx(0, abs=1e-4)
    assert 2 * PENALTY * float(weight) == pytest.approx(0.75 - float(torch.sigmoid(weight)), abs=1e-4)


def test_a_strong_tie_gives_soft_labels() -> None:
    x_NF = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    tied, _ = fitted_pseudo(x_NF, RATINGS, 1e6)
    assert torch.allclose(tied, fitted(x_NF, soft(RATINGS))[0], atol=1e-3)


def test_a_weak_tie_moves_pseudo_labels_to_the_network_s_side() -> None:
    x_N1 = torch.tensor([[-2.0], [-1.0], [1.0], [2.0], [-2.0], [2.0]])  # agrees with the hard labels
    weak, _ = fitted_pseudo(x_N1, RATINGS, 0.01)
    assert float(weak) == pytest.approx(float(fitted(x_N1, hard(RATINGS))[0]), abs=1e-3)
    assert float(weak) > float(fitted(x_N1, soft(RATINGS))[0])


def test_features_are_of_the_true_box_and_uncertain_nodules_are_left_out() -> None:
    torch.manual_seed(0)
    nodules = [a_nodule("P1"), a_nodule("P2", ratings=(3, 3, 3)), a_nodule("P3", ratings=(5, 5, 4))]
    some = rated(Jnsc(jnsc_tiny()).eval(), nodules)
    assert some.patients == ("P1", "P3")
    assert some.features_NF.shape == (2, jnsc_tiny().feature_count)
    assert float(some.features_NF[0, -1]) == pytest.approx(0.1 * int(nodules[0].mask.sum()) ** (1 / 3))


def test_a_feature_that_tells_all_is_found_by_every_kind_of_label() -> None:
    rng = np.random.default_rng(3)

    def side(name: str, count: int) -> Rated:
        malignant = np.arange(count) % 2
        features = rng.normal(0, 0.2, (count, 2)) + np.stack([3.0 * malignant, np.zeros(count)], 1)
        return Rated(
            features_NF=torch.from_numpy(features.astype(np.float32)),
            ratings=tuple((4, 5, 4) if m else (2, 1, 2) for m in malignant),
            diameters_mm=(5.0,) * count,
            patients=tuple(f"{name}{n}" for n in range(count)),
        )

    figures = study(side("T", 40), side("V", 10), seeds=(0,))
    for name in ("hard", "soft", "pseudo_alpha_1", "pseudo_alpha_10", "pseudo_alpha_20"):
        assert figures[name]["auc"]["value"] == figures[name]["accuracy"]["value"] == 1.0
    assert figures["pseudo_alpha_10"]["auc_gain_over_hard"]["value"] == 0.0
    assert figures["auc_by_diameter_alone"]["value"] == 0.5
    assert 0 < figures["marginal_of_them"] <= 20
