"""Images of the slices around a candidate, and values of their pixels back on the CT's own grid.

In plane an image has pixels of its own, with the candidate in its middle; along the slice axis nothing is
interpolated. Geometry only, no model. Called from `inference.outline` and `inference.rating`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from inference.contract import Contract, RoiSlices
from inference.errors import ContractInvalid
from inference.findings import CroppedMask
from inference.geometry import FloatArray, Grid, Point, Shape
from inference.predictor import FloatTensor
from inference.volume import HuArray

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roi:
    """Where the images of a candidate lie, in indices of the CT.

    Parameters
    ----------
    slices_k : first slice, and the one after the last
    first_ji : where pixel (0, 0) of an image lies
    step_ji : from one pixel to the next
    size_ji : pixels of an image
    """

    slices_k: Span
    first_ji: tuple[float, float]
    step_ji: tuple[float, float]
    size_ji: tuple[int, int]

    def covered_ji(self, ct: Grid) -> tuple[Span, Span]:
        """Rows and columns of the CT with their centres inside the pixels of the images: first, and after the last."""
        axes = zip(self.first_ji, self.step_ji, self.size_ji, ct.shape_kji[1:], strict=True)
        rows, columns = (
            (max(math.ceil(first - step / 2), 0), min(math.floor(first + (size - 0.5) * step) + 1, count))
            for first, step, size, count in axes
        )
        return rows, columns

    def holds(self, mask: CroppedMask, ct: Grid) -> bool:
        """Whether all of a mask lies inside the images, in plane."""
        boxes = zip(mask.box[1:], self.covered_ji(ct), strict=True)
        return all(start <= part.start and part.stop <= stop for part, (start, stop) in boxes)


def images_of(contract: Contract) -> RoiSlices:
    """How the images of a slice model are made; raises ContractInvalid if the contract does not say."""
    if contract.roi is None:
        raise ContractInvalid(f"{contract.model} does not say which images it takes")
    return contract.roi


def roi_around(centre_lps: Point, slices_k: Span, ct: Grid, images: RoiSlices) -> Roi:
    """Images with a point in their middle pixel, which is number `size // 2` of each axis, as in training.

    Images of the CT's own pixels are cut out around the nearest one, so that nothing is interpolated.

    Parameters
    ----------
    centre_lps : brought to the nearest voxel of the CT if it lies outside
    slices_k : of the CT
    """
    _, *centre_ji = np.clip(ct.kji_from_lps(centre_lps), 0, np.subtract(ct.shape_kji, 1)).tolist()
    pixel_mm = images.pixel_spacing_mm
    step_j, step_i = (1.0 if pixel_mm is None else pixel_mm / mm for mm in ct.spacing_mm[1:])
    first_j, first_i = (
        (centre if pixel_mm is not None else math.floor(centre + 0.5)) - step * (size // 2)
        for centre, step, size in zip(centre_ji, (step_j, step_i), images.size_ji, strict=True)
    )
    return Roi(slices_k=slices_k, first_ji=(first_j, first_i), step_ji=(step_j, step_i), size_ji=images.size_ji)


def images_hu(roi: Roi, volume_hu: HuArray) -> FloatTensor:
    """The images, linear in plane; beyond the CT its nearest pixel counts.

    Parameters
    ----------
    volume_hu : shape (k, j, i)

    Returns
    -------
    shape (slices, *size_ji), float32, HU
    """
    rows, columns = (
        np.asarray(first + step * np.arange(size), np.float64)
        for first, step, size in zip(roi.first_ji, roi.step_ji, roi.size_ji, strict=True)
    )
    return _sampled(volume_hu[slice(*roi.slices_k)], rows, columns)


def values_on_ct(roi: Roi, values_KJI: FloatTensor, ct: Grid) -> tuple[Shape, FloatTensor]:
    """Values of the images' pixels at the voxels of the CT that the images cover, linear in plane.

    Parameters
    ----------
    values_KJI : shape (slices, *size_ji)

    Returns
    -------
    the first voxel and the values, shape (slices, rows, columns)
    """
    covered = roi.covered_ji(ct)
    rows, columns = (
        np.asarray((np.arange(*span) - first) / step, np.float64)
        for span, first, step in zip(covered, roi.first_ji, roi.step_ji, strict=True)
    )
    return (roi.slices_k[0], covered[0][0], covered[1][0]), _sampled(values_KJI, rows, columns)


def _sampled(values_KJI: HuArray | FloatTensor, rows: FloatArray, columns: FloatArray) -> FloatTensor:
    """Values at fractional rows and columns, linear; beyond the edges the outermost values."""
    return _along(_along(values_KJI, rows, 1), columns, 2)


def _along(values_KJI: HuArray | FloatTensor, places: FloatArray, axis: int) -> FloatTensor:
    last = values_KJI.shape[axis] - 1
    inside = np.clip(places, 0, last)
    low = np.floor(inside).astype(int)
    share = (inside - low).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
    before, after = (values_KJI.take(n, axis).astype(np.float32) for n in (low, np.minimum(low + 1, last)))
    return np.asarray(before * (1 - share) + after * share, np.float32)
