"""From a slice and what readers drew on it to a soft mask: trimap, matting, rejection.

Pure. Called from `training.data`, `training.data.soft_mask_folder` and DSNet's recipes, through the package.
R: readers, J: rows, I: columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.volume import BoolArray, HuArray
from training.labels.consensus import HALF, consensus
from training.labels.recist import RecistAxes
from training.labels.soft_masks import rejection, trimaps
from training.labels.soft_masks.grabcut import mask_from_recist
from training.labels.soft_masks.matting import MattingFailed, enlarge, grey_from_hu, matte, smooth
from training.labels.soft_masks.rejection import Reason
from training.labels.soft_masks.trimaps import BACKGROUND, Trimap

BINARY_ALPHA = 0.5

_Pixel = TypeVar("_Pixel", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftMask:
    """How much of each pixel is nodule.

    Parameters
    ----------
    alpha_ji : shape (scale x rows, scale x columns), 0..1
    trimap_ji : shape (rows, columns); what it was made from
    prior_ji : shape (rows, columns); the binary mask that it was checked against
    rejected : codes of `rejection.Reason`; empty if it may be learned from
    """

    alpha_ji: NDArray[np.float32]
    trimap_ji: Trimap
    prior_ji: BoolArray
    rejected: tuple[str, ...]


def from_mask(image_hu_ji: HuArray, mask_ji: BoolArray, *, scale: int = 1) -> SoftMask:
    """Soft mask from one binary mask.

    Parameters
    ----------
    image_hu_ji, mask_ji : shape (rows, columns)
    scale : bicubic enlargement before matting; the paper makes masks of 256 pixels from crops of 64: 4
    """
    return _soft_mask(image_hu_ji, trimaps.from_mask(mask_ji) if mask_ji.any() else None, mask_ji, scale)


def from_readers(image_hu_ji: HuArray, readers_RJI: BoolArray, *, scale: int = 1) -> SoftMask:
    """Soft mask from several readers' masks; checked against what half of them marked.

    Parameters
    ----------
    image_hu_ji : shape (rows, columns)
    readers_RJI : shape (readers, rows, columns), at least one reader
    scale : see `from_mask`
    """
    trimap = trimaps.from_readers(readers_RJI) if readers_RJI.any() else None
    return _soft_mask(image_hu_ji, trimap, consensus(readers_RJI, HALF), scale)


def from_recist(image_hu_ji: HuArray, axes: RecistAxes, *, scale: int = 1) -> SoftMask:
    """Soft mask from RECIST axes: GrabCut makes a mask, `from_mask` the rest.

    Parameters
    ----------
    image_hu_ji : shape (rows, columns), with some surroundings of the lesion
    axes : in the pixels of the image
    scale : see `from_mask`
    """
    return from_mask(image_hu_ji, mask_from_recist(grey_from_hu(image_hu_ji), axes), scale=scale)


def _soft_mask(image_hu_ji: HuArray, trimap: Trimap | None, prior: BoolArray, scale: int) -> SoftMask:
    if trimap is None:
        return _unmade(np.zeros(prior.shape), prior, scale, Reason.MASK_EMPTY)
    if not (trimap == BACKGROUND).any():
        return _unmade(trimap, prior, scale, Reason.NO_BACKGROUND)
    try:
        alpha = matte(enlarge(smooth(grey_from_hu(image_hu_ji)), scale), _repeated(trimap, scale))
    except MattingFailed:
        return _unmade(trimap, prior, scale, Reason.MATTING_FAILED)
    own = _averaged(alpha, scale)
    binary = own >= BINARY_ALPHA
    rules = {
        Reason.BAND_TOO_WIDE: rejection.band_is_too_wide(trimap),
        Reason.MASK_DISAGREES: rejection.mask_disagrees(binary, prior),
        Reason.MASK_IN_PIECES: rejection.mask_is_in_pieces(binary),
        Reason.BAND_ONE_SIDED: rejection.band_is_one_sided(own, trimap),
    }
    rejected = tuple(str(reason) for reason, holds in rules.items() if holds)
    return SoftMask(alpha_ji=alpha, trimap_ji=trimap, prior_ji=prior, rejected=rejected)


def _unmade(trimap: Trimap, prior: BoolArray, scale: int, reason: Reason) -> SoftMask:
    """What is known without matting: the trimap itself."""
    alpha = _repeated(trimap.astype(np.float32), scale)
    return SoftMask(alpha_ji=alpha, trimap_ji=trimap, prior_ji=prior, rejected=(str(reason),))


def _repeated(image: NDArray[_Pixel], scale: int) -> NDArray[_Pixel]:
    return np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)


def _averaged(alpha: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """Alpha in the pixels of the slice itself, where it is judged: so the scale decides nothing."""
    rows, columns = (size // scale for size in alpha.shape)
    own: NDArray[np.float32] = alpha.reshape(rows, scale, columns, scale).mean(axis=(1, 3))
    return own
