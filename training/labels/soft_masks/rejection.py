"""Which soft masks are not to be learned from, and why: in the place of the paper's "slight manual selection".

Pure; one function per rule, each true if the mask is to be rejected. Rules and limits: NETWORKS 5.1. "Box" is the
bounding box of all that may be nodule. Of the 1,033 LIDC slices that three readers or more drew (enlarged by 4), 18 are
rejected: 10 in pieces, 7 with too wide a band, 3 that disagree; of those of one reader, more, as small nodules leave
hardly a core.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.volume import BoolArray
from training.labels.soft_masks.trimaps import BACKGROUND, UNKNOWN, Trimap
from training.metrics.overlap import dice

WIDEST_BAND_SHARE = 0.6
LOWEST_DICE = 0.7
ALPHA_RANGE = (0.15, 0.85)


class Reason(StrEnum):
    """Why a soft mask is rejected."""

    BAND_TOO_WIDE = "band.too-wide"
    """More than 60 % of the box around all that may be nodule is unknown."""

    MASK_DISAGREES = "mask.disagrees"
    """Dice of the binary mask (alpha of at least 0.5) and the mask that it was made from is below 0.7."""

    MASK_IN_PIECES = "mask.in-pieces"
    """The binary mask falls apart when it is opened."""

    BAND_ONE_SIDED = "band.one-sided"
    """The band is nearly all nodule or nearly all background, so the trimap was wrong or matting failed."""

    MASK_EMPTY = "mask.empty"
    """There is nothing to make a soft mask from."""

    NO_BACKGROUND = "trimap.no-background"
    """The nodule may fill the whole image."""

    MATTING_FAILED = "matting.failed"
    """The equations of matting have no solution that the solver finds."""


def band_is_too_wide(trimap_ji: Trimap) -> bool:
    """Whether more than 60 % of the bounding box of what may be nodule is unknown."""
    box = ndimage.find_objects((trimap_ji != BACKGROUND).astype(np.uint8))[0]
    return bool(np.mean(trimap_ji[box] == UNKNOWN) > WIDEST_BAND_SHARE)


def mask_disagrees(binary_ji: BoolArray, prior_ji: BoolArray) -> bool:
    """Whether the binary mask and the mask that it came from have a Dice below 0.7."""
    return dice(binary_ji, prior_ji) < LOWEST_DICE


def mask_is_in_pieces(binary_ji: BoolArray) -> bool:
    """Whether more than one piece is left after opening with a cross of 3 x 3; pieces touch by edges."""
    return bool(ndimage.label(ndimage.binary_opening(binary_ji))[1] > 1)


def band_is_one_sided(alpha_ji: NDArray[np.float32], trimap_ji: Trimap) -> bool:
    """Whether the mean of alpha over the unknown pixels is outside 0.15..0.85; false if none is unknown."""
    unknown = trimap_ji == UNKNOWN
    low, high = ALPHA_RANGE
    return bool(unknown.any() and not low <= float(alpha_ji[unknown].mean(dtype=np.float64)) <= high)
