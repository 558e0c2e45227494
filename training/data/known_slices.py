"""From a known nodule in a CT to the slice of 71 x 71 pixels that the 2-D systems train on. Pure.

Called from `training.data.reading`.
"""

from __future__ import annotations

import numpy as np

from inference.findings import CroppedMask
from inference.volume import BoolArray, HuArray
from training.data.known import KnownNodule, KnownSeries
from training.data.slices import EDGE, Slice

SQUARE = 0.01
"""Relative difference up to which the two spacings of a pixel are one."""


def largest_slice_of(series: KnownSeries, nodule: KnownNodule) -> Slice | None:
    """The slice on which the nodule is largest, at the CT's own resolution, with what each reader drew on it.

    Parameters
    ----------
    nodule : of the series; the middle of its mask's box is in the middle of the slice

    Returns
    -------
    None if nobody drew the nodule or its pixels are not square; beyond the CT its nearest pixel is repeated
    """
    _, spacing_j, spacing_i = series.volume.grid.spacing_mm
    if nodule.mask is None or abs(spacing_j / spacing_i - 1) > SQUARE:
        return None
    k = nodule.mask.start_kji[0] + int(nodule.mask.voxels.sum(axis=(1, 2)).argmax())
    start_ji = _start(nodule.mask, k)
    drawn = [_cut(reader, k, start_ji) for reader in nodule.readers or (nodule.mask,)]
    return Slice(
        case_id=f"{nodule.nodule_id}:{k}",
        patient_id=nodule.patient_id,
        image_hu=_image(series.volume.volume_hu[k], start_ji),
        readers_RJI=np.stack([mask for mask in drawn if mask.any()]),
        ratings=nodule.ratings,
        pixel_spacing_mm=spacing_i,
        diameter_mm=nodule.diameter_mm,
    )


def _start(mask: CroppedMask, k: int) -> tuple[int, int]:
    """Row and column of the slice's first pixel, so that the mask's box on it is in the middle."""
    rows, columns = np.nonzero(mask.voxels[k - mask.start_kji[0]])
    j, i = (int(low + high) // 2 for low, high in ((rows.min(), rows.max()), (columns.min(), columns.max())))
    return mask.start_kji[1] + j - EDGE // 2, mask.start_kji[2] + i - EDGE // 2


def _image(slice_hu: HuArray, start_ji: tuple[int, int]) -> HuArray:
    rows, columns = (
        np.clip(np.arange(start, start + EDGE), 0, size - 1)
        for start, size in zip(start_ji, slice_hu.shape, strict=True)
    )
    return slice_hu[np.ix_(rows, columns)]


def _cut(mask: CroppedMask, k: int, start_ji: tuple[int, int]) -> BoolArray:
    """What a mask has on slice k within the cut."""
    result = np.zeros((EDGE, EDGE), bool)
    if not 0 <= k - mask.start_kji[0] < len(mask.voxels):
        return result
    j, i = np.nonzero(mask.voxels[k - mask.start_kji[0]])
    j, i = j + mask.start_kji[1] - start_ji[0], i + mask.start_kji[2] - start_ji[1]
    within = (j >= 0) & (j < EDGE) & (i >= 0) & (i < EDGE)
    result[j[within], i[within]] = True
    return result
