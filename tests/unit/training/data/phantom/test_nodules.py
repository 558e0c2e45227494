"""Nodules as drawn: what the readers said decides what they look like."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inference.findings import Attenuation
from training.data.phantom import ADULT, SMALL, Profile, nodules
from training.data.phantom.anatomy import Chest
from training.data.phantom.fields import Field
from training.data.phantom.lidc_shapes import NoduleShape, Pool, shapes
from training.data.phantom.lungs import Filling
from training.data.phantom.nodules import CORE_HU, HU_RANGE, SCALES, attenuation_of, choose

SOLID = {"malignancy": 3, "texture": 5, "calcification": 6, "margin": 5, "spiculation": 1, "lobulation": 1}
RATINGS = {**SOLID, "sphericity": 5, "subtlety": 5}
Drawn = tuple[Chest, Filling]


def a_ball(diameter_mm: float = 12.0, **ratings: float) -> NoduleShape:
    """A ball in the 0.75 mm voxels of a packed shape."""
    radius = diameter_mm / 2 / 0.75
    size = int(2 * radius) | 1
    offset = np.indices((size,) * 3) - size // 2
    return NoduleShape(patient_id="nobody", ratings={**RATINGS, **ratings}, voxels=(offset**2).sum(axis=0) <= radius**2)


def placed(drawn: Drawn, shape: NoduleShape) -> tuple[nodules.DrawnNodule, Field, Field]:
    """A nodule in an otherwise empty lung of -850 HU; the nodule, HU and signed distance of its box."""
    chest, filling = drawn
    empty = dataclasses.replace(chest, hu=np.full_like(chest.hu, -850))
    for seed in range(20):
        nodule = nodules.add(empty, filling, shape, [], np.random.default_rng(seed))
        if nodule is not None:
            break
    assert nodule is not None
    box = tuple(slice(at, at + size) for at, size in zip(nodule.start_kji, nodule.sdf_mm.shape, strict=True))
    return nodule, empty.hu[box], nodule.sdf_mm


@pytest.mark.parametrize(
    ("texture", "calcification", "expected"),
    [
        (5, 6, Attenuation.SOLID),
        (4, 6, Attenuation.SOLID),
        (3.75, 6, Attenuation.PART_SOLID),
        (2.25, 6, Attenuation.PART_SOLID),
        (2, 6, Attenuation.NON_SOLID),
        (1, 6, Attenuation.NON_SOLID),
        (5, 5.5, Attenuation.SOLID),
        (5, 5.25, Attenuation.CALCIFIED),
    ],
)
def test_the_readers_decide_the_type(texture: float, calcification: float, expected: Attenuation) -> None:
    assert attenuation_of(a_ball(texture=texture, calcification=calcification)) is expected


@pytest.mark.parametrize(
    ("ratings", "expected"),
    [
        ({"texture": 5}, Attenuation.SOLID),
        ({"texture": 1}, Attenuation.NON_SOLID),
        ({"calcification": 3}, Attenuation.CALCIFIED),
    ],
)
def test_the_inside_has_the_attenuation_of_its_type(
    drawn: Drawn, ratings: dict[str, float], expected: Attenuation
) -> None:
    nodule, hu, sdf_mm = placed(drawn, a_ball(**ratings))
    low, high = HU_RANGE[expected]
    assert nodule.attenuation is expected
    assert low - 20 < hu[sdf_mm < -2.5].mean() < high + 20


def test_a_part_solid_nodule_has_a_solid_core_in_a_thin_rim(drawn: Drawn) -> None:
    _, hu, sdf_mm = placed(drawn, a_ball(texture=3, diameter_mm=14))
    core, rim = hu[sdf_mm < -5.5].mean(), hu[(sdf_mm < -1) & (sdf_mm > -2)].mean()
    assert CORE_HU[0] - 40 < core < CORE_HU[1] + 40
    assert rim < -450


def test_the_tissue_ends_half_a_millimetre_inside_the_outline(drawn: Drawn) -> None:
    _, hu, sdf_mm = placed(drawn, a_ball(margin=5, diameter_mm=13))
    inside = hu[sdf_mm < -3].mean()
    shares = [((hu + 850) / (inside + 850))[np.abs(sdf_mm - at) < 0.2].mean() for at in (-1.2, -0.55, 0.6)]
    assert shares[0] > 0.8
    assert shares[1] == pytest.approx(0.5, abs=0.1)
    assert shares[2] < 0.1


def test_a_poorly_defined_margin_is_wider_than_a_sharp_one(drawn: Drawn) -> None:
    def width(margin: float) -> float:
        _, hu, sdf_mm = placed(drawn, a_ball(margin=margin, diameter_mm=13))
        share = (hu + 850) / (hu[sdf_mm < -4].mean() + 850)
        return float(((share > 0.15) & (share < 0.85)).sum())

    assert width(1) > 2 * width(5)


def test_spicules_reach_beyond_the_nodule(drawn: Drawn) -> None:
    def beyond(spiculation: float) -> int:
        _, hu, sdf_mm = placed(drawn, a_ball(spiculation=spiculation))
        return int((hu[(sdf_mm > 2)] > -700).sum())

    assert beyond(1) == 0
    assert beyond(4) > 10


def test_the_volume_of_a_ball_is_kept(drawn: Drawn) -> None:
    nodule, _, _ = placed(drawn, a_ball(diameter_mm=10))
    assert 0.95 * SCALES[0] < nodule.diameter_mm / 10 < 1.05 * SCALES[1]


@pytest.mark.parametrize("profile", [ADULT, SMALL])
def test_chosen_shapes_keep_to_the_profile(profile: Profile) -> None:
    for seed in range(30):
        chosen = choose(shapes(Pool.TRAINING), profile, np.random.default_rng(seed))
        sizes = [shape.diameter_mm for shape in chosen]
        assert profile.nodules[0] <= len(chosen) <= profile.nodules[1]
        assert profile.diameters_mm[0] <= SCALES[0] * min(sizes)
        assert SCALES[1] * max(sizes) <= profile.diameters_mm[1]
        assert max(sizes) >= 6


def test_most_nodules_of_adults_are_solid_and_at_least_6_mm() -> None:
    chosen = [
        shape for seed in range(100) for shape in choose(shapes(Pool.HELD_OUT), ADULT, np.random.default_rng(seed))
    ]
    large = [shape for shape in chosen if shape.diameter_mm >= 6 and attenuation_of(shape) is Attenuation.SOLID]
    assert len(large) > 0.5 * len(chosen)
