"""Readers' outlines to masks, and several readers' masks to one.

Pure. How well readers agree is measured in `training.metrics`, not here. Called from `training.data` and
`training.labels.soft_masks`. R: readers, J: rows, I: columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from inference.volume import BoolArray

HALF = 0.5
TWO_THIRDS = 2 / 3

_LARGEST_DENOMINATOR = 100


def consensus(readers_RJI: BoolArray, share: float) -> BoolArray:
    """Pixels that at least a share of the readers marked.

    Parameters
    ----------
    readers_RJI : shape (readers, rows, columns), or more axes after the first; at least one reader
    share : 0..1, not 0; taken as the nearest fraction with a denominator up to 100, so that 0.667 and 2/3 both mean
        exactly 2 of 3 and 3 of 4 (`TWO_THIRDS`: MT-Net), and 0.5 means 1 of 2 (`HALF`: HR-MPF, DSNet)

    Returns
    -------
    shape (rows, columns)

    Raises
    ------
    ValueError : no reader, or the share is not in (0, 1]
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"the share of readers must lie in (0, 1], not {share}")
    if not len(readers_RJI):
        raise ValueError("a consensus needs at least one reader")
    needed = Fraction(share).limit_denominator(_LARGEST_DENOMINATOR) * len(readers_RJI)
    marked: BoolArray = np.count_nonzero(readers_RJI, axis=0) >= -(-needed.numerator // needed.denominator)
    return marked


def mask_from_polygon(
    polygon_xy: Sequence[Sequence[float]] | NDArray[np.floating], shape_ji: tuple[int, int]
) -> BoolArray:
    """Pixels inside an outline, its own pixels included; what lies outside the shape is cut away.

    LIDC calls its outline the first pixels *outside* the nodule. They are included nevertheless: on the 655 slices of
    the shared data that four readers or more drew, one reader against the majority of the others then has Dice 0.874
    (0.873 is the ceiling that the project's floors are set against; 0.850 without the outline), and the areas are
    nearer to the masks of LUNA16 (those are 0.90 times as large; 1.28 times without the outline). The cost: the median
    pixel of an outline has only 27 % of the nodule's contrast.

    Parameters
    ----------
    polygon_xy : shape (corners, 2), (column, row) of pixel centres, the first pixel being (0, 0); open or closed,
        at least one corner
    shape_ji : rows and columns of the mask

    Raises
    ------
    ValueError : not a list of pairs

    References
    ----------
    Armato et al., Med. Phys. 38 (2011) 915: the outline is an outer border, not meant to overlap the nodule's pixels.
    """
    corners_xy = np.asarray(polygon_xy, np.float64)
    if corners_xy.ndim != 2 or corners_xy.shape[1] != 2 or not len(corners_xy):
        raise ValueError(f"an outline is a list of (x, y), not an array of shape {corners_xy.shape}")
    mask = np.zeros(shape_ji, bool)
    rows, columns = polygon(corners_xy[:, 1], corners_xy[:, 0], shape_ji)
    mask[rows, columns] = True
    i, j = np.rint(corners_xy).astype(np.int64).T
    within = (j >= 0) & (j < shape_ji[0]) & (i >= 0) & (i < shape_ji[1])
    mask[j[within], i[within]] = True
    return mask
