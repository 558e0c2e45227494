"""Distances between the outlines of masks. Pure; used by `training.evaluation`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt

from inference.volume import BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceDistance:
    """Distances of two outlines, mm: the largest one, and the mean over the elements of both."""

    hausdorff_mm: float
    average_mm: float


def surface_distance(one: BoolArray, other: BoolArray, spacing_mm: Sequence[float]) -> SurfaceDistance | None:
    """Hausdorff distance (maximum) and average symmetric surface distance; None if a mask is empty.

    Parameters
    ----------
    one, other : of any, the same number of dimensions
    spacing_mm : of the elements along each axis

    Notes
    -----
    The outline of a mask is its elements with a neighbour (across a face) outside; beyond the array is outside.
    """
    if not one.any() or not other.any():
        return None
    outlines = [mask & ~binary_erosion(mask) for mask in (one, other)]
    to_one, to_other = (distance_transform_edt(~outline, sampling=spacing_mm) for outline in outlines)
    distances = np.concatenate([to_other[outlines[0]], to_one[outlines[1]]])
    return SurfaceDistance(hausdorff_mm=float(distances.max()), average_mm=float(distances.mean()))
