"""Smooth fields on a cube of 1 mm voxels: resampling along the axes, random textures, and edges without stairs.

Everything separable is done axis by axis, which is what makes a 300^3 phantom cheap. Used by all drawing modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from inference.geometry import Shape

Field = NDArray[np.floating[Any]]


def interpolated(samples: Field, positions: Sequence[Field]) -> Field:
    """Cubic spline through the samples of a regular grid, where given planes, rows and columns cross.

    Parameters
    ----------
    samples : any number of axes, at least 4 samples along each
    positions : for each axis, fractional indices, shape (n,); beyond the ends the end sample is repeated

    Returns
    -------
    float32, as many values along each axis as it has positions. Sparse sums in a fixed order, no BLAS: the same on any
    number of threads.
    """
    field = ndimage.spline_filter(samples, output=np.float32, mode="mirror")
    for axis in reversed(range(field.ndim)):
        field = along(_spline_weights(field.shape[axis], positions[axis]), field, axis)
    return np.asarray(field)


def along(matrix: sparse.csr_array, field: Field, axis: int) -> Field:
    """Apply a sparse matrix to one axis of a field."""
    moved = np.ascontiguousarray(np.moveaxis(field, axis, 0))
    product = matrix @ moved.reshape(len(moved), -1)
    return np.moveaxis(product.reshape(-1, *moved.shape[1:]), 0, axis)


def _spline_weights(count: int, positions: Field) -> sparse.csr_array:
    """Weights of the four B-splines that reach each position; shape (positions, count), mirrored at the ends."""
    at = np.clip(positions, 0, count - 1)
    low = np.floor(at).astype(int)
    u = at - low
    weights = np.stack([(1 - u) ** 3, 4 - 6 * u**2 + 3 * u**3, 1 + 3 * u + 3 * u**2 - 3 * u**3, u**3], axis=1) / 6
    columns = np.abs(low[:, None] + np.arange(-1, 3))
    columns = np.minimum(columns, 2 * (count - 1) - columns)
    rows = np.repeat(np.arange(len(at)), 4)
    return sparse.csr_array(
        (weights.ravel().astype(np.float32), (rows, columns.ravel())), shape=(len(at), count), dtype=np.float32
    )


def refined(coarse: Field, step: int, shape: Shape) -> Field:
    """Interpolate a field that was sampled at every `step`-th voxel; the first voxels coincide."""
    return interpolated(coarse, [np.arange(size) / step for size in shape])


def smooth_noise(rng: np.random.Generator, shape: Shape, correlation_mm: float) -> Field:
    """Gaussian noise of zero mean and unit variance that varies over about `correlation_mm` (= voxels).

    Returns
    -------
    shape as asked for; a cubic spline through independent knots half a correlation length apart
    """
    step = correlation_mm / 2
    knots = rng.standard_normal([int(np.ceil(size / step)) + 4 for size in shape], dtype=np.float32)
    field = interpolated(knots, [np.arange(size) / step + 1.5 for size in shape])
    return field / np.float32(field.std())


def coverage(sdf_mm: Field) -> Field:
    """Share of a 1 mm voxel inside a surface, from the signed distance of its centre (negative inside)."""
    share = np.subtract(0.5, sdf_mm)
    return np.clip(share, 0, 1, out=share)


def blend(hu: Field, share: Field, value_hu: Field | float) -> None:
    """Replace `share` (0..1) of each voxel of `hu` by `value_hu`, in place."""
    change = value_hu - hu
    change *= share
    hu += change
