"""The finished phantom and its truth."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from inference.findings import Attenuation
from tests.unit.training.data.phantom.conftest import SEED, small
from training.data.phantom import FIRST_HELD_OUT_SEED, SMALL, Phantom, Placement, TrueNodule, make, pool_of_seed
from training.data.phantom.lidc_shapes import Pool, pool_of

SEEDS = (SEED, 1, 2, 3, 5)


def box_of(nodule: TrueNodule) -> tuple[slice, ...]:
    mask = nodule.mask
    return tuple(slice(at, at + size) for at, size in zip(mask.start_kji, mask.voxels.shape, strict=True))


def test_the_same_seed_gives_the_same_phantom_and_the_stages_are_announced(phantom: Phantom) -> None:
    heard: list[str] = []
    again = make(SEED, SMALL, progress=heard.append)
    assert heard == ["anatomy", "trees", "nodules", "scanner"]
    assert (again.volume_hu == phantom.volume_hu).all()
    assert (again.lungs == phantom.lungs).all()
    assert again.grid == phantom.grid
    assert [nodule.centre_lps for nodule in again.nodules] == [nodule.centre_lps for nodule in phantom.nodules]


def test_another_seed_gives_another_phantom(phantom: Phantom) -> None:
    other = small(1)
    assert {nodule.centre_lps for nodule in other.nodules}.isdisjoint(n.centre_lps for n in phantom.nodules)


def test_leaving_out_one_stage_does_not_reshuffle_the_others(
    phantom: Phantom, phantom_without_distractors: Phantom
) -> None:
    other = phantom_without_distractors
    assert other.protocol == phantom.protocol
    assert [nodule.centre_lps for nodule in other.nodules] == [nodule.centre_lps for nodule in phantom.nodules]
    differing = np.abs(other.volume_hu.astype(int) - phantom.volume_hu) > 3  # noise grows a little with the water path
    assert 0 < differing.mean() < 0.02


def test_distractors_leave_the_nodules_alone(phantom: Phantom, phantom_without_distractors: Phantom) -> None:
    for nodule in phantom.nodules:
        pair = (each.volume_hu[box_of(nodule)].astype(int) for each in (phantom, phantom_without_distractors))
        one, other = pair
        assert np.abs(one - other).max() <= 3


def test_volume_grid_and_lungs_have_one_shape(phantom: Phantom) -> None:
    assert phantom.volume_hu.dtype == np.int16
    assert phantom.volume_hu.shape == phantom.grid.shape_kji == phantom.lungs.shape
    assert not phantom.volume_hu.flags.writeable
    assert phantom.volume.grid == phantom.grid


@pytest.mark.parametrize("seed", [SEED, FIRST_HELD_OUT_SEED + 3])
def test_the_truth_describes_its_masks(seed: int) -> None:
    phantom = small(seed)
    low, high = SMALL.nodules
    assert low <= len(phantom.nodules) <= high
    assert [nodule.number for nodule in phantom.nodules] == list(range(1, len(phantom.nodules) + 1))
    for nodule in phantom.nodules:
        voxels = nodule.mask.voxels
        centre = np.argwhere(voxels).mean(axis=0) + nodule.mask.start_kji
        assert np.linalg.norm(phantom.grid.lps_from_kji(centre) - nodule.centre_lps) < 1
        assert voxels.sum() * phantom.grid.voxel_mm3 == pytest.approx(nodule.volume_mm3, rel=0.2)
        assert nodule.diameter_mm == pytest.approx((6 * nodule.volume_mm3 / np.pi) ** (1 / 3))
        assert all(np.asarray(voxels.any(axis=other))[[0, -1]].all() for other in ((1, 2), (0, 2), (0, 1)))
        assert 1 <= nodule.malignancy <= 5


def test_nodules_lie_in_the_lung_and_apart(phantom: Phantom) -> None:
    for nodule in phantom.nodules:
        assert phantom.lungs[box_of(nodule)][nodule.mask.voxels].mean() > 0.9  # the lungs are sampled at 1 mm
    for one, other in itertools.combinations(phantom.nodules, 2):
        distance = np.linalg.norm(np.subtract(one.centre_lps, other.centre_lps))
        assert distance > (one.diameter_mm + other.diameter_mm) / 2


def test_nodules_are_denser_than_the_lung_around_them(phantom: Phantom) -> None:
    lung_hu = np.median(phantom.volume_hu[phantom.lungs])
    for nodule in phantom.nodules:
        inside = phantom.volume_hu[box_of(nodule)][nodule.mask.voxels]
        least = {Attenuation.NON_SOLID: 60, Attenuation.PART_SOLID: 150}.get(nodule.attenuation, 350)
        assert inside.mean() > lung_hu + least


def test_juxtapleural_nodules_touch_the_pleura_and_isolated_ones_do_not() -> None:
    seen = set()
    for phantom in (small(seed) for seed in SEEDS):
        for nodule in phantom.nodules:
            k, j, i = (slice(max(part.start - 1, 0), part.stop + 1) for part in box_of(nodule))
            touches = not phantom.lungs[k, j, i].all()
            seen.add(nodule.placement)
            if nodule.placement is Placement.JUXTAPLEURAL:
                assert touches
    assert seen == set(Placement)


def test_seeds_from_10_000_on_use_shapes_of_other_patients() -> None:
    assert pool_of_seed(FIRST_HELD_OUT_SEED - 1) is Pool.TRAINING
    assert pool_of_seed(FIRST_HELD_OUT_SEED) is Pool.HELD_OUT
    for seed in (SEED, FIRST_HELD_OUT_SEED + 3):
        assert {pool_of(nodule.patient_id) for nodule in small(seed).nodules} == {pool_of_seed(seed)}


@pytest.mark.slow
def test_an_adult_phantom_is_a_realistic_series() -> None:
    phantom = make(FIRST_HELD_OUT_SEED)
    assert phantom.grid.shape_kji[1:] == (512, 512)
    assert 120 <= phantom.grid.shape_kji[0] <= 240
    assert 0.6 < phantom.grid.spacing_mm[1] < 0.8
    assert 3e6 < phantom.lungs.sum() * phantom.grid.voxel_mm3 < 7e6
    assert -840 < phantom.volume_hu[phantom.lungs].mean() < -760
    assert 4 <= len(phantom.nodules) <= 7
