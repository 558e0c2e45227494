"""Smooth fields on a cube of 1 mm voxels: resampling along the axes, random textures, and edges without stairs.

Everything separable is three matrix products, which is what makes a 300^3 phantom cheap. Used by all drawing modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from inference.geometry import Shape

Field = NDArray[np.floating[Any]]


def spline_matrix(count: int, positions: Field) -> Field:
    """Matrix that interpolates `count` samples at fractional indices by a cubic spline.

    Parameters
    ----------
    count : number of samples, at least 4
    positions : shape (n,), indices; beyond the ends the end sample is repeated

    Returns
    -------
    shape (n, count)
    """
    spline = make_interp_spline(np.arange(count), np.eye(count), k=3)
    return np.asarray(spline(np.clip(positions, 0, count - 1)), np.float32)


def along_axes(field: Field, matrices: Sequence[Field]) -> Field:
    """Apply one matrix to each axis of a field; shape (k, j, i) to the numbers of rows of the matrices."""
    along_k, along_j, along_i = matrices
    field = np.tensordot(along_k, field, axes=(1, 0))
    return np.asarray(np.matmul(np.matmul(along_j, field), along_i.T))


def refined(coarse: Field, step: int, shape: Shape) -> Field:
    """Interpolate a field that was sampled at every `step`-th voxel; the first voxels coincide."""
    matrices = [spline_matrix(n, np.arange(size) / step) for n, size in zip(coarse.shape, shape, strict=True)]
    return along_axes(coarse, matrices)


def smooth_noise(rng: np.random.Generator, shape: Shape, correlation_mm: float) -> Field:
    """Gaussian noise of zero mean and unit variance that varies over about `correlation_mm` (= voxels).

    Returns
    -------
    shape as asked for; a cubic spline through independent knots half a correlation length apart
    """
    step = correlation_mm / 2
    knots = [int(np.ceil(size / step)) + 4 for size in shape]
    noise = rng.standard_normal(knots, dtype=np.float32)
    matrices = [spline_matrix(n, np.arange(size) / step + 1.5) for n, size in zip(knots, shape, strict=True)]
    field = along_axes(noise, matrices)
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
