"""Trimaps: what is surely nodule (1), surely not (0), and what matting has to find out (0.5).

Pure. The first two of the three strategies of paper 5 (NETWORKS 5.1); the third, from RECIST axes, is `grabcut` and
then `from_mask`. Distances are Euclidean, in pixels, between pixel centres. R: readers, J: rows, I: columns.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.volume import BoolArray

Trimap = NDArray[np.float64]

BACKGROUND, UNKNOWN, FOREGROUND = 0.0, 0.5, 1.0

BAND_SHARE = 0.15
"""Of the equivalent diameter, each way from the outline of a single mask."""

FEWEST_FOREGROUND = 3


def from_mask(mask_ji: BoolArray) -> Trimap:
    """Trimap of one binary mask: its core, a band around its outline, the rest.

    Parameters
    ----------
    mask_ji : shape (rows, columns), at least one pixel set

    Returns
    -------
    shape of the mask; the band reaches max(1, 0.15 d) pixels inwards and outwards, d the diameter of the disc of equal
    area. If fewer than 3 pixels would be core, the core is what lies deepest.
    """
    radius = max(1, round(BAND_SHARE * math.sqrt(4.0 / math.pi * np.count_nonzero(mask_ji))))
    depth = ndimage.distance_transform_edt(mask_ji)
    core = depth > radius
    if np.count_nonzero(core) < FEWEST_FOREGROUND:
        core = depth == depth.max()
    return _trimap(core, _grown(mask_ji, radius))


def from_readers(readers_RJI: BoolArray) -> Trimap:
    """Trimap of several readers' masks: what all marked, what at least one marked and one pixel around it, the rest.

    Parameters
    ----------
    readers_RJI : shape (readers, rows, columns), at least one pixel set by anybody. One reader disagrees with nobody:
        then `from_mask`.

    Returns
    -------
    shape (rows, columns); where no pixel was marked by all, those marked by most are foreground
    """
    if len(readers_RJI) == 1:
        return from_mask(readers_RJI[0])
    votes = np.count_nonzero(readers_RJI, axis=0)
    return _trimap(votes == votes.max(), _grown(votes > 0, 1))


def _grown(mask: BoolArray, radius: int) -> BoolArray:
    grown: BoolArray = ndimage.distance_transform_edt(~mask) <= radius
    return grown


def _trimap(foreground: BoolArray, possible: BoolArray) -> Trimap:
    trimap = np.where(possible, UNKNOWN, BACKGROUND)
    trimap[foreground] = FOREGROUND
    return trimap
