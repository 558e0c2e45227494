"""Values from one grid to another through patient space, linear; distances inside a grid.

The only place in `inference` that knows SimpleITK. Called from `inference.preprocess`, `inference.lungs` and
`inference.segment`.
"""

from __future__ import annotations

import os
from typing import TypeVar

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from inference.geometry import Grid
from inference.volume import BoolArray

THREADS = min(4, os.cpu_count() or 1)
"""SimpleITK would take every core of the machine, although other workers share it."""


Scalar = TypeVar("Scalar", np.uint8, np.float32)


def resample(values: NDArray[Scalar], source: Grid, target: Grid) -> NDArray[Scalar]:
    """Values at the voxel centres of another grid, by linear interpolation.

    Parameters
    ----------
    values : shape of `source`
    target : any grid in the same patient space; beyond the source its nearest voxel counts

    Returns
    -------
    shape of `target`, type of `values`
    """
    image = sitk.GetImageFromArray(values)
    image.SetOrigin(source.origin_lps)
    image.SetSpacing(source.spacing_mm[::-1])
    image.SetDirection(_direction(source))
    resampler = sitk.ResampleImageFilter()
    resampler.SetNumberOfThreads(THREADS)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.UseNearestNeighborExtrapolatorOn()
    resampler.SetSize(target.shape_kji[::-1])
    resampler.SetOutputOrigin(target.origin_lps)
    resampler.SetOutputSpacing(target.spacing_mm[::-1])
    resampler.SetOutputDirection(_direction(target))
    result: NDArray[Scalar] = sitk.GetArrayFromImage(resampler.Execute(image))
    return result


def signed_distance_mm(mask: BoolArray, grid: Grid) -> NDArray[np.float32]:
    """Distance of every voxel centre to the nearest border voxel of the mask; negative inside, 0 on the border."""
    image = sitk.GetImageFromArray(mask.view(np.uint8))
    image.SetSpacing(grid.spacing_mm[::-1])
    measure = sitk.SignedMaurerDistanceMapImageFilter()
    measure.SetNumberOfThreads(THREADS)
    measure.SquaredDistanceOff()
    measure.UseImageSpacingOn()
    result: NDArray[np.float32] = sitk.GetArrayFromImage(measure.Execute(image))
    return result


def _direction(grid: Grid) -> list[float]:
    """Row-major; its columns are the directions of i, j and k."""
    return [float(value) for value in np.asarray(grid.directions)[::-1].T.ravel()]
