"""What is not a nodule."""

from __future__ import annotations

import dataclasses

import numpy as np

from training.data.phantom import distractors
from training.data.phantom.anatomy import Chest
from training.data.phantom.distractors import HALF_AXES_MM, HU, Kind
from training.data.phantom.lungs import Filling


def test_every_kind_is_drawn_inside_the_lung_and_adds_tissue(drawn: tuple[Chest, Filling]) -> None:
    chest, filling = drawn
    seen = {}
    for seed in range(40):
        copy = dataclasses.replace(chest, hu=chest.hu.copy())
        kind = distractors.add(copy, filling, [], np.random.default_rng(seed))
        change = copy.hu - chest.hu
        if kind is not None:
            seen[kind] = change
            assert change.min() >= 0
            assert not change[chest.lung_mm > 1.5].any()
    assert set(seen) == set(Kind)
    assert all(change.max() > 100 for change in seen.values())


def test_granulomas_are_smaller_than_any_nodule() -> None:
    assert 2 * max(high for _, high in HALF_AXES_MM[Kind.GRANULOMA]) < 4


def test_every_kind_has_a_size_and_an_attenuation() -> None:
    assert set(HALF_AXES_MM) == set(HU) == set(Kind)
