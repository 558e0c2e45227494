"""Gas in the bowel: whole pieces of air, and pockets that a thin diaphragm joins to a lung. Pure.

Bullae of emphysema are as clean, and lie in lung. Called from `inference.lungs`.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from inference.volume import BoolArray, HuArray, Volume

CLEAN_HU = -950
"""Gas in the bowel is -1000 HU; so is emphysema (Gevenois 1996)."""

SPREAD_HU = 200
"""Gas in the bowel is -1000 HU inside, its rim much more; even emphysematous lung spreads less (measured in four
series: 100 to 190 HU from the 10th to the 75th percentile of lungs, 250 to 400 in gas)."""

LEAST_ML, MOST_ML = 0.5, 100.0
"""Of a pocket between two folds of the bowel; a bulla that fills a side of the chest is larger."""

OFFSET_MM = 50.0
"""Nearer to the middle of the body clean air in tissue is in airways."""

LUNG_HU = -500
LUNG_SHARE = 0.35
"""At most that much of what lies 3 to 8 mm around a pocket is as dark as lung (measured in four series: 0.02 to 0.29
around 18 pockets in the bowel, 0.46 to 0.87 around 11 in lungs). Other pockets count, too, as in emphysema."""

NEIGHBOURS = np.ones((3, 3, 3), bool)


def is_bowel_gas(piece_hu: HuArray) -> bool:
    """Whether a whole piece of air, by the HU of its blocks, is gas in the bowel."""
    core_hu, rim_hu = np.percentile(piece_hu, [10, 75])
    return bool(core_hu < CLEAN_HU and rim_hu - core_hu > SPREAD_HU)


def bowel_gas(air: BoolArray, blocks: Volume, middle_mm: float) -> BoolArray:
    """Pockets of clean air in tissue at the sides of the body, with the mixed blocks around them.

    Parameters
    ----------
    air : shape of the blocks, what may be gas
    blocks : of about 2.5 mm
    middle_mm : LPS x of the middle of the body
    """
    gas = np.zeros_like(air)
    pockets, count = ndimage.label(air & (blocks.volume_hu < CLEAN_HU))
    volumes_ml = np.bincount(pockets.ravel(), minlength=count + 1) * blocks.grid.voxel_mm3 / 1000.0
    for number, box in enumerate(ndimage.find_objects(pockets), start=1):
        if not LEAST_ML <= volumes_ml[number] <= MOST_ML:
            continue
        near = tuple(slice(max(0, part.start - 3), part.stop + 3) for part in box)
        pocket = pockets[near] == number
        centre_kji = np.argwhere(pocket).mean(axis=0) + [part.start for part in near]
        if abs(blocks.grid.lps_from_kji(centre_kji)[0] - middle_mm) < OFFSET_MM:
            continue
        mixed = ndimage.binary_dilation(pocket, NEIGHBOURS)
        shell = ndimage.binary_dilation(mixed, iterations=2) & ~mixed
        lung = shell & (blocks.volume_hu[near] < LUNG_HU)
        if np.count_nonzero(lung) <= LUNG_SHARE * np.count_nonzero(shell):
            gas[near] |= ndimage.binary_dilation(mixed, NEIGHBOURS)
    return gas
