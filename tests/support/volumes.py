"""Volumes made from a function of patient space, without DICOM.

a_volume(chest_hu([Ball(centre_lps=(70, 0, 0), diameter_mm=12)]))
a_volume(hu, shape_kji=(40, 60, 50), spacing_mm=(2.0, 0.7, 0.8), axes="feet first")
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inference.geometry import FloatArray, Grid, Point, Shape, Spacing
from inference.volume import Volume
from tests.support.series import chest_hu

Directions = tuple[Point, Point, Point]

AXES: dict[str, Directions] = {
    "supine": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "feet first": ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)),
    "prone": ((0.0, 0.0, 1.0), (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0)),
    "columns flipped": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)),
    "on the side": ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
}


def a_grid(
    shape_kji: Shape = (48, 280, 280),
    spacing_mm: Spacing = (2.5, 1.0, 1.0),
    *,
    axes: str = "supine",
    centre_lps: Point = (0.0, 0.0, 0.0),
) -> Grid:
    """A grid around a point of patient space; `axes` names the directions of k, j and i."""
    steps = np.asarray(AXES[axes]) * np.asarray(spacing_mm)[:, None]
    x, y, z = (float(v) for v in np.asarray(centre_lps) - (np.asarray(shape_kji) - 1) / 2.0 @ steps)
    return Grid(shape_kji=shape_kji, spacing_mm=spacing_mm, origin_lps=(x, y, z), directions=AXES[axes])


def a_volume(hu: Callable[[FloatArray], FloatArray] | None = None, grid: Grid | None = None) -> Volume:
    """A volume of what `hu` says of each voxel centre in LPS mm; the chest of `chest_hu` unless told otherwise."""
    grid = grid or a_grid()
    function = hu or chest_hu()
    slices = [function(grid.lps_from_kji(index)) for index in _indices(grid.shape_kji)]
    volume_hu = np.rint(np.stack(slices)).astype(np.int16)
    volume_hu.setflags(write=False)
    return Volume(volume_hu=volume_hu, grid=grid, frame_of_reference_uid="1.2.826.0.1.9")


def _indices(shape_kji: Shape) -> list[FloatArray]:
    rows, columns = np.mgrid[: shape_kji[1], : shape_kji[2]].astype(float)
    return [np.stack([np.full_like(rows, k), rows, columns], axis=-1) for k in range(shape_kji[0])]
