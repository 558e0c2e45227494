"""From a known nodule in a CT to the patch of 50 mm at 1 mm that the 3-D systems train on. Pure.

Called from `training.data.reading`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from inference.findings import CroppedMask
from inference.geometry import Grid, Point, Shape
from inference.resampling import resample
from inference.volume import BoolArray
from training.data.known import KnownNodule, KnownSeries
from training.data.luna16 import EDGE, Nodule

AXES: tuple[Point, Point, Point] = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
"""k to the head, j to the back, i to the left, whichever way the CT was stored."""

FULL, HALF = np.uint8(200), 100
"""A voxel of a resampled mask counts if at least half of it is covered."""


def patch_of(series: KnownSeries, nodule: KnownNodule) -> Nodule | None:
    """The nodule and its surroundings, resampled to 1 mm (linear).

    Parameters
    ----------
    nodule : of the series; its centre becomes voxel (25, 25, 25)

    Returns
    -------
    None if nobody drew the nodule; beyond the CT its nearest voxel is repeated
    """
    if nodule.mask is None:
        return None
    target = _target(nodule.centre_lps)
    start, shape = _seen(target, series.volume.grid)
    source = series.volume.grid.cropped(start, shape)
    box = tuple(slice(first, first + size) for first, size in zip(start, shape, strict=True))
    patch = resample(series.volume.volume_hu[box].astype(np.float32), source, target)
    mask = _resampled([nodule.mask], start, source, target)
    others = [other.mask for other in series.nodules if other is not nodule and other.mask is not None]
    return Nodule(
        nodule_id=nodule.nodule_id,
        patient_id=nodule.patient_id,
        series_uid=nodule.series_uid,
        patch_hu=np.rint(patch).astype(np.int16),
        mask=mask,
        others=_resampled(others, start, source, target) & ~mask,
        diameter_mm=nodule.diameter_mm,
        ratings=nodule.ratings,
    )


def _target(centre_lps: Point) -> Grid:
    x, y, z = np.subtract(centre_lps, EDGE // 2).tolist()
    return Grid(shape_kji=(EDGE,) * 3, spacing_mm=(1.0, 1.0, 1.0), origin_lps=(x, y, z), directions=AXES)


def _seen(target: Grid, source: Grid) -> tuple[Shape, Shape]:
    """Start and size of the smallest box of the source that all of the target's voxels are interpolated from."""
    corners = target.lps_from_kji([(k, j, i) for k in (0, EDGE - 1) for j in (0, EDGE - 1) for i in (0, EDGE - 1)])
    at = source.kji_from_lps(corners)
    last = np.array(source.shape_kji) - 1
    low = np.clip(np.floor(at.min(axis=0)), 0, last).astype(int)
    high = np.clip(np.ceil(at.max(axis=0)), 0, last).astype(int)
    k, j, i = low.tolist()
    size_k, size_j, size_i = (high - low + 1).tolist()
    return (k, j, i), (size_k, size_j, size_i)


def _resampled(masks: Iterable[CroppedMask], start: Shape, source: Grid, target: Grid) -> BoolArray:
    """All masks together on the target; `source` is the CT from `start` on."""
    values = np.zeros(source.shape_kji, np.uint8)
    for mask in masks:
        offset = np.subtract(mask.start_kji, start)
        there = [slice(max(0, at), max(0, at + size)) for at, size in zip(offset, mask.voxels.shape, strict=True)]
        here = [slice(max(0, -at), max(0, n - at)) for at, n in zip(offset, values.shape, strict=True)]
        values[tuple(there)][mask.voxels[tuple(here)]] = FULL
    return np.asarray(resample(values, source, target) >= HALF)
