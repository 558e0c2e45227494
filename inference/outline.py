"""Masks by a 2-D model, in place of those of the detector. Called from `inference.pipeline`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from inference.contract import Contract, RoiSlices
from inference.findings import CroppedMask, Outline
from inference.geometry import FloatArray, Grid, Shape
from inference.predictor import FloatTensor, Predictor
from inference.roi import Roi, Span, images_hu, images_of, roi_around, values_on_ct
from inference.segment import NEIGHBOURS, piece_at, soft_mask
from inference.slices import answer
from inference.volume import BoolArray, Volume

PROBABILITY = "probability"
"""What models for segmentation call their answer: a value in 0..1 for each pixel of the image."""

GROUP = 16
"""Candidates whose images are in memory at once."""


def redrawn(
    outlines: Sequence[Outline], volume: Volume, chain: Sequence[Contract], predictor: Predictor
) -> list[Outline]:
    """The outlines as a 2-D model draws them, on every slice of a region of interest.

    The model's probability is brought to the pixels of the CT and compared with the threshold of its contract. Of the
    pieces (26 neighbours) that meet the detector's mask, the one that holds the centre of the candidate, or is nearest
    to it, is the new mask. Where there is none, or the images do not hold the whole mask of the detector, that mask
    stays, and with it the name of the detector.

    A voxel belongs to the first that claims it. A candidate whose centre belongs to another is the same nodule and is
    left out, as is one that nothing is left of. A model whose contract says that it is soft adds its soft mask.

    Parameters
    ----------
    outlines : by the detector, the most certain one first
    chain : see `inference.slices.answer`

    Raises
    ------
    ContractInvalid : the contract does not say which images the model takes
    PredictorUnavailable, InputRefused, ModelNotFound, ModelOutputInvalid : see `inference.predictor`
    """
    model, threshold = chain[-1].model, images_of(chain[-1]).threshold
    taken = np.zeros(volume.grid.shape_kji, bool)
    kept = []
    for own, roi, values_KJI in _answers(outlines, volume, chain, predictor):
        centre = _centre_kji(own, volume.grid)
        if taken[tuple(np.rint(centre).astype(int))]:
            continue
        mask, soft, drawn_by = None, None, model
        if roi.holds(own.mask, volume.grid):
            start, probability = values_on_ct(roi, values_KJI, volume.grid)
            mask = _piece(probability >= threshold, start, own.mask, taken, centre, volume.grid)
            if mask is not None and chain[-1].is_soft:
                soft = soft_mask(probability, start, mask, volume.grid, threshold)
        if mask is None:
            mask, drawn_by = _rest(own.mask, taken, centre, volume.grid), own.model
        if mask is not None:
            taken[mask.box] |= mask.voxels
            kept.append(Outline(proposal=own.proposal, mask=mask, model=drawn_by, soft=soft))
    return kept


def _answers(
    outlines: Sequence[Outline], volume: Volume, chain: Sequence[Contract], predictor: Predictor
) -> Iterator[tuple[Outline, Roi, FloatTensor]]:
    """Every outline with its region and the probability of the images there."""
    images = images_of(chain[-1])
    for first in range(0, len(outlines), GROUP):
        group = outlines[first : first + GROUP]
        rois = [
            roi_around(own.proposal.candidate.centre_lps, _slices_k(own.mask, volume.grid, images), volume.grid, images)
            for own in group
        ]
        pixels = [images_hu(roi, volume.volume_hu) for roi in rois]
        values_N1JI = answer(chain, np.concatenate(pixels), predictor, [PROBABILITY])[PROBABILITY]
        ends = np.cumsum([len(part) for part in pixels])[:-1]
        yield from zip(group, rois, np.split(values_N1JI[:, 0], ends), strict=True)


def _slices_k(mask: CroppedMask, ct: Grid, images: RoiSlices) -> Span:
    """The slices of a mask, and those within the margin."""
    more = int(images.margin_mm / ct.spacing_mm[0] + 1e-6)
    return max(mask.box[0].start - more, 0), min(mask.box[0].stop + more, ct.shape_kji[0])


def _centre_kji(own: Outline, ct: Grid) -> FloatArray:
    """Centre of the candidate, in voxels of the CT and inside it."""
    return np.clip(ct.kji_from_lps(own.proposal.candidate.centre_lps), 0, np.subtract(ct.shape_kji, 1))


def _piece(
    marked: BoolArray, start_kji: Shape, own: CroppedMask, taken: BoolArray, centre_kji: FloatArray, ct: Grid
) -> CroppedMask | None:
    """The piece that the model marked at the centre; None if nothing that is free meets the detector's mask.

    Parameters
    ----------
    marked : part of the CT from voxel `start_kji` on, holds the detector's mask
    """
    part = CroppedMask(start_kji=start_kji, voxels=marked)
    labels, _ = ndimage.label(marked & ~taken[part.box], NEIGHBOURS)
    inside = tuple(slice(a.start - n, a.stop - n) for a, n in zip(own.box, start_kji, strict=True))
    met = np.unique(labels[inside][own.voxels])
    pieces = np.isin(labels, met[met > 0])
    return piece_at(pieces, start_kji, centre_kji - start_kji, ct) if pieces.any() else None


def _rest(own: CroppedMask, taken: BoolArray, centre_kji: FloatArray, ct: Grid) -> CroppedMask | None:
    """What others left of the detector's mask, at the centre; None if that is nothing."""
    free = own.voxels & ~taken[own.box]
    return piece_at(free, own.start_kji, centre_kji - own.start_kji, ct) if free.any() else None
