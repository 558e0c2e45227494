"""The drawn chest has the tissues, sizes and attenuation that its parameters state."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from inference.findings import Laterality
from training.data.phantom import ADULT, SMALL, anatomy
from training.data.phantom.anatomy import Chest
from training.data.phantom.lungs import Filling
from training.data.phantom.streams import stream

Drawn = tuple[Chest, Filling]


def test_lung_between_the_vessels_has_its_stated_attenuation(drawn: Drawn) -> None:
    chest, filling = drawn
    between = (chest.lung_mm < -4) & (filling.blood < 0.01) & (filling.bronchi < 0.01)
    # -880..-840 HU in the middle; at most 0.55 HU/mm over 140 adult mm between back and front shift the median by 20
    assert -900 < np.median(chest.hu[between]) < -820


def test_vessels_fill_three_to_five_per_cent_of_the_lung(drawn: Drawn) -> None:
    chest, filling = drawn
    assert 0.03 < (filling.blood[chest.lung_mm < -2] > 0.5).mean() < 0.05


def test_large_vessels_hold_blood(drawn: Drawn) -> None:
    chest, filling = drawn
    inside = ndimage.binary_erosion((filling.blood > 0.99) & (filling.bronchi == 0) & (chest.lung_mm < -3))
    assert inside.sum() > 50
    assert chest.hu[inside] == pytest.approx(chest.layout.blood_hu, abs=2)


def test_airways_hold_air_and_have_walls(drawn: Drawn) -> None:
    chest, filling = drawn
    wide = int(np.argmax(filling.airways.radii_mm))
    start, end = filling.airways.starts_kji[wide], filling.airways.ends_kji[wide]
    k, j, i = np.rint((start + end) / 2).astype(int)
    around = chest.hu[k - 4 : k + 5, j - 4 : j + 5, i - 4 : i + 5]
    assert chest.hu[k, j, i] < -950
    assert around.max() > -500


def test_bones_fat_muscle_and_air_are_there_in_their_places(drawn: Drawn) -> None:
    chest, _ = drawn
    middle = np.array(chest.hu.shape) // 2
    row = chest.hu[middle[0], middle[1]]
    wall = row[:20][row[:20] > -500]
    assert chest.hu[:, 0].max() < -990  # air in front of the chest
    assert wall[2:5].mean() == pytest.approx(chest.layout.fat_hu, abs=25)
    assert 400 < chest.hu.max() <= 620  # cortex is the hardest
    assert ((chest.hu > 300).mean(axis=(1, 2)) > 0.002).mean() > 0.9  # bone in nearly every slice


def test_no_bone_lies_in_the_lung(drawn: Drawn) -> None:
    chest, _ = drawn
    assert chest.hu[chest.lung_mm < -2].max() < 100 + chest.layout.blood_hu


def test_the_lung_is_one_piece_inside_the_chest(drawn: Drawn) -> None:
    chest, _ = drawn
    lung = chest.lung_mm < 0
    sizes = np.bincount(ndimage.label(lung)[0].ravel())[1:]
    assert sizes.max() > 0.995 * sizes.sum()
    assert chest.cage_mm[lung].max() < 2
    assert not lung[[0, -1]].any()
    assert not lung[:, [0, -1]].any()
    assert not lung[:, :, [0, -1]].any()


@pytest.mark.slow
def test_adult_lungs_hold_three_to_seven_litres() -> None:
    layout = anatomy.lay_out(ADULT, stream(0, "layout"))
    lung = anatomy.draw(layout, stream(0, "anatomy")).lung_mm < 0
    assert 3e6 < lung.sum() < 7e6
    right = lung[:, :, : lung.shape[2] // 2].sum()
    assert 0.45 < right / lung.sum() < 0.65  # the right lung is the larger one


def test_points_of_the_left_and_the_head_have_larger_indices() -> None:
    layout = anatomy.lay_out(SMALL, stream(1, "layout"))
    assert SMALL.sides == (Laterality.RIGHT,)
    assert layout.kji((0, 0, 0)).tolist() == [63.5, 63.5, 63.5]
    assert (layout.kji((10, 20, 30)) - 63.5).tolist() == pytest.approx([30 * 128 / 300, 20 * 128 / 300, 10 * 128 / 300])
