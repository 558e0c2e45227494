"""From a component of the probability to a mask on the CT's own grid.

Not the mask is resampled but the probability, so that the surface lies where the probability crosses the threshold.
Called from `inference.pipeline` and `inference.outline`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from inference.findings import CroppedMask, Proposal, SoftMask
from inference.geometry import FloatArray, Grid, Shape
from inference.predictor import FloatTensor
from inference.resampling import resample
from inference.volume import BoolArray

NEIGHBOURS = np.ones((3, 3, 3), bool)


def segment(
    proposals: Iterable[Proposal], probability_kji: FloatTensor, grid: Grid, ct: Grid, threshold: float
) -> list[tuple[Proposal, CroppedMask]]:
    """Proposals with their masks on the CT; one whose voxels an earlier one already has is left out.

    Parameters
    ----------
    probability_kji : shape of `grid`
    threshold : the one that made the components
    """
    taken = np.zeros(ct.shape_kji, bool)
    kept = []
    for proposal in proposals:
        mask = mask_on_ct(proposal, probability_kji, grid, ct, threshold)
        if not (taken[mask.box] & mask.voxels).any():
            taken[mask.box] |= mask.voxels
            kept.append((proposal, mask))
    return kept


def mask_on_ct(proposal: Proposal, probability_kji: FloatTensor, grid: Grid, ct: Grid, threshold: float) -> CroppedMask:
    """Voxels of the CT where the interpolated probability of the component reaches the threshold.

    Probability counts in the component and the voxels around it only. As two components are at least a voxel apart,
    no cell of eight voxels has corners of both, and the masks of different components are disjoint. Of several pieces
    the one nearest to the centre stays. Where slices are so far apart that the component lies between two of them, the
    mask is the voxel nearest to its centre.
    """
    values, around = _component_values(proposal.component, probability_kji, grid)
    start, shape = _overlap(around, ct)
    mask = resample(values, around, ct.cropped(start, shape)) >= threshold
    centre = ct.kji_from_lps(proposal.candidate.centre_lps) - start
    if not mask.any():
        mask[tuple(np.clip(np.rint(centre).astype(int), 0, np.subtract(shape, 1)))] = True
    return piece_at(mask, start, centre, ct)


def piece_at(mask: BoolArray, start_kji: Shape, centre_kji: FloatArray, ct: Grid) -> CroppedMask:
    """The connected piece of a mask that holds a point, or is nearest to it.

    Parameters
    ----------
    mask : shape (k, j, i), part of the CT from voxel `start_kji` on; at least one voxel is set
    centre_kji : the point, in voxels of the mask
    """
    labels, _ = ndimage.label(mask, NEIGHBOURS)
    voxels = np.argwhere(mask)
    nearest = voxels[np.argmin((((voxels - centre_kji) * ct.spacing_mm) ** 2).sum(axis=1))]
    piece = np.asarray(labels == labels[tuple(nearest)], bool)
    (box,) = ndimage.find_objects(piece.view(np.int8))
    k, j, i = (int(part.start) + offset for part, offset in zip(box, start_kji, strict=True))
    return CroppedMask(start_kji=(k, j, i), voxels=piece[box].copy())


def soft_mask(values_kji: FloatTensor, start_kji: Shape, mask: CroppedMask, ct: Grid, threshold: float) -> SoftMask:
    """The values of a mask and of its soft edge: what hangs together with it and is nearest to it.

    Other voxels that reach the threshold are 0, and so are those that are nearer to them. With a threshold of 0.5 the
    voxels of 128 and more are those of the mask: 0.5 itself is rounded up, and nothing below it is.

    Parameters
    ----------
    values_kji : 0..1, part of the CT from voxel `start_kji` on, holds the mask; all of the mask reaches the threshold
    """
    own = np.zeros(values_kji.shape, bool)
    own[tuple(slice(a.start - n, a.stop - n) for a, n in zip(mask.box, start_kji, strict=True))] = mask.voxels
    others = (values_kji >= threshold) & ~own
    levels = np.rint(255.0 * values_kji.astype(np.float64)).astype(np.uint8)
    if others.any():
        own_mm, others_mm = (ndimage.distance_transform_edt(~part, ct.spacing_mm) for part in (own, others))
        levels[others_mm < own_mm] = 0
    labels, _ = ndimage.label(levels, NEIGHBOURS)
    levels[labels != labels[own][0]] = 0
    (box,) = ndimage.find_objects((levels > 0).view(np.int8))
    k, j, i = (int(part.start) + offset for part, offset in zip(box, start_kji, strict=True))
    return SoftMask(start_kji=(k, j, i), values=levels[box].copy())


def _component_values(component: CroppedMask, probability_kji: FloatTensor, grid: Grid) -> tuple[FloatTensor, Grid]:
    """Probability in the component and the voxels around it, 0 further out, and the grid of that box."""
    start = [first - 2 for first in component.start_kji]
    near = ndimage.binary_dilation(np.pad(component.voxels, 2), NEIGHBOURS)
    values = np.zeros(near.shape, np.float32)
    inside = [
        slice(max(first, 0), min(first + length, count))
        for first, length, count in zip(start, near.shape, grid.shape_kji, strict=True)
    ]
    local = tuple(slice(part.start - first, part.stop - first) for part, first in zip(inside, start, strict=True))
    values[local] = probability_kji[tuple(inside)]
    values *= near
    k, j, i = near.shape
    return values, grid.cropped((start[0], start[1], start[2]), (k, j, i))


def _overlap(part: Grid, ct: Grid) -> tuple[Shape, Shape]:
    """First voxel and shape of the part of the CT that a grid of the same directions covers; at least one voxel."""
    corners = ct.kji_from_lps(part.lps_from_kji([(0, 0, 0), np.subtract(part.shape_kji, 1)]))
    last = np.subtract(ct.shape_kji, 1)
    start = np.clip(np.floor(corners[0]).astype(int), 0, last)
    stop = np.clip(np.ceil(corners[1]).astype(int), start, last) + 1
    (k, j, i), (dk, dj, di) = start.tolist(), (stop - start).tolist()
    return (k, j, i), (dk, dj, di)
