"""Where voxels are: the affine between voxel indices and patient space.

Index order is always `(k, j, i)` = slice, row, column; patient space is LPS in mm. No I/O, no pixels.
Called from everywhere in `inference` and from `pacs_node.report`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]
Point = tuple[float, float, float]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A regular grid of voxel centres in patient space.

    Parameters
    ----------
    shape_kji : number of voxels along (k, j, i)
    spacing_mm : distance of voxel centres along (k, j, i), each > 0
    origin_lps : centre of voxel (0, 0, 0), mm
    directions : three unit vectors in LPS, the direction of increasing k, j and i
    """

    shape_kji: Shape
    spacing_mm: Spacing
    origin_lps: Point
    directions: tuple[Point, Point, Point]

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm3 (the axes are orthogonal)."""
        return float(np.prod(self.spacing_mm))

    @property
    def matrix(self) -> FloatArray:
        """Shape (3, 3): column n is the step in LPS mm of one voxel along axis n of (k, j, i)."""
        return np.asarray(self.directions, np.float64).T * np.asarray(self.spacing_mm, np.float64)

    def lps_from_kji(self, index_kji: object) -> FloatArray:
        """Patient coordinates of (fractional) voxel indices; shape (..., 3) to (..., 3), mm."""
        return np.asarray(np.asarray(index_kji, float) @ self.matrix.T + np.asarray(self.origin_lps, float))

    def kji_from_lps(self, point_lps: object) -> FloatArray:
        """Fractional voxel indices of patient coordinates; shape (..., 3) to (..., 3)."""
        offset = np.asarray(point_lps, float) - np.asarray(self.origin_lps, float)
        return np.asarray(offset @ np.linalg.inv(self.matrix).T)

    def cropped(self, start_kji: Shape, shape_kji: Shape) -> Grid:
        """The same grid, limited to `shape_kji` voxels from `start_kji` on."""
        x, y, z = self.lps_from_kji(start_kji)
        return Grid(
            shape_kji=shape_kji,
            spacing_mm=self.spacing_mm,
            origin_lps=(float(x), float(y), float(z)),
            directions=self.directions,
        )

    def resampled(self, spacing_mm: Spacing) -> Grid:
        """A grid of other spacing over the same box: first voxel centres coincide, the last lies inside the old box."""
        old = zip(self.shape_kji, self.spacing_mm, spacing_mm, strict=True)
        shape = tuple(int(np.floor((count - 1) * before / after + 1e-6)) + 1 for count, before, after in old)
        return Grid(
            shape_kji=(shape[0], shape[1], shape[2]),
            spacing_mm=spacing_mm,
            origin_lps=self.origin_lps,
            directions=self.directions,
        )
