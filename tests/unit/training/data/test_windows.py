"""Windows show what they should: reflected borders, kept labels, nodules where the target says."""

from __future__ import annotations

import numpy as np

from tests.support.torch_networks import a_bank, a_nodule
from training.data.bank import Mixture, draw, target_of
from training.data.targets import BENIGN, MALIGNANT, NOTHING, UNRATED
from training.data.windows import Window, cut, pasted, scaled, varied


def test_a_cut_beyond_the_border_is_continued_by_reflection() -> None:
    volume = np.arange(4, dtype=np.int16)[:, None, None].repeat(4, 1).repeat(4, 2)
    window = cut(volume, np.zeros(volume.shape, np.int8), (-2, 0, 0), 8)
    assert window.volume_hu[:, 0, 0].tolist() == [2, 1, 0, 1, 2, 3, 2, 1]


def test_a_label_is_kept_at_the_same_size_and_lost_when_enlarged() -> None:
    nodule = a_nodule(ratings=(5, 5, 5))
    whole = cut(nodule.patch_hu, target_of(nodule), (0, 0, 0), 50)
    assert set(np.unique(scaled(whole, 54).target)) == {NOTHING, MALIGNANT}
    assert set(np.unique(scaled(whole, 64).target)) == {NOTHING, UNRATED}


def test_enlarging_a_ball_enlarges_its_volume_by_the_cube() -> None:
    nodule = a_nodule(radius=8)
    whole = cut(nodule.patch_hu, target_of(nodule), (0, 0, 0), 50)
    ratio = (scaled(whole, 75).target != NOTHING).sum() / nodule.mask.sum()
    assert abs(ratio / 1.5**3 - 1) < 0.05


def test_a_pasted_nodule_is_dense_where_the_target_says_and_the_rest_is_lung() -> None:
    nodule = a_nodule()
    lung = Window(volume_hu=np.full((64,) * 3, -850, np.float32), target=np.zeros((64,) * 3, np.int8))
    window = pasted(lung, nodule.patch_hu, nodule.mask, np.random.default_rng(0))
    inside = window.target == UNRATED
    assert inside.sum() == nodule.mask.sum()
    assert window.volume_hu[inside].mean() > 0
    assert window.volume_hu[~inside].max() < -700
    assert (lung.target == NOTHING).all()


def test_a_nodule_is_not_pasted_into_soft_tissue() -> None:
    nodule = a_nodule()
    wall = Window(volume_hu=np.full((64,) * 3, 40, np.float32), target=np.zeros((64,) * 3, np.int8))
    assert pasted(wall, nodule.patch_hu, nodule.mask, np.random.default_rng(0)) is wall


def test_variation_moves_volume_and_target_together() -> None:
    nodule = a_nodule()
    window = varied(cut(nodule.patch_hu, target_of(nodule), (0, 0, 0), 50), np.random.default_rng(3))
    assert (window.target == BENIGN).sum() == nodule.mask.sum()
    assert window.volume_hu[window.target == BENIGN].mean() > -200
    assert window.volume_hu[window.target == NOTHING].mean() < -700


def test_the_same_random_generator_draws_the_same_window() -> None:
    one, other = (draw(a_bank(), Mixture(), 32, np.random.default_rng([1, 2])) for _ in range(2))
    assert np.array_equal(one.volume_hu, other.volume_hu)
    assert np.array_equal(one.target, other.target)
