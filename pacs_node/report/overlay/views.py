"""From voxels to images: slices in the lung window, masks, and a projection like a radiograph.

Used by `finding` and `summary`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.findings import Finding
from inference.geometry import FloatArray, Grid
from inference.volume import Volume
from pacs_node.report.overlay.style import Picture

LUNG_WINDOW_HU = (-1350.0, 150.0)
"""Centre -600, width 1500: the usual window for lung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A square cut-out of a slice, shown at `pixels` x `pixels`.

    Parameters
    ----------
    corner_ji : (row, column) index of its upper left corner; -0.5 is the edge of the first pixel
    size_ji : rows and columns that it covers, fractional
    """

    corner_ji: tuple[float, float]
    size_ji: tuple[float, float]
    pixels: int

    def place(self, row: float, column: float) -> tuple[float, float]:
        """Where an index lies in the image, as (x, y)."""
        y = (row - self.corner_ji[0]) / self.size_ji[0] * self.pixels
        x = (column - self.corner_ji[1]) / self.size_ji[1] * self.pixels
        return x, y


def whole_field(grid: Grid, pixels: int) -> Field:
    """The whole slice, in the middle of a square of its longer side."""
    return square_field(grid, ((grid.shape_kji[1] - 1) / 2.0, (grid.shape_kji[2] - 1) / 2.0), _extent_mm(grid), pixels)


def square_field(grid: Grid, centre_ji: tuple[float, float], size_mm: float, pixels: int) -> Field:
    """A square of `size_mm` around an index."""
    rows, columns = size_mm / grid.spacing_mm[1], size_mm / grid.spacing_mm[2]
    corner = (centre_ji[0] - rows / 2.0, centre_ji[1] - columns / 2.0)
    return Field(corner_ji=corner, size_ji=(rows, columns), pixels=pixels)


def slice_image(volume: Volume, k: int, field: Field) -> Picture:
    """A cut-out of slice k in the lung window."""
    grey = windowed(volume.volume_hu[k].astype(np.float64))
    return _cut(grey, field, Image.Resampling.BICUBIC).convert("RGB")


def mask_image(volume: Volume, finding: Finding, k: int, field: Field) -> Picture:
    """Where the mask of a finding covers the cut-out; 255 inside, its edge smoothed within the width of a pixel."""
    plane = np.zeros(volume.grid.shape_kji[1:], np.uint8)
    start, voxels = finding.mask.start_kji, finding.mask.voxels
    if start[0] <= k < start[0] + voxels.shape[0]:
        rows, columns = voxels.shape[1:]
        plane[start[1] : start[1] + rows, start[2] : start[2] + columns] = 255 * voxels[k - start[0]]
    return _cut(plane, field, Image.Resampling.BILINEAR).point([0] * 128 + [255] * 128)


def windowed(hu: FloatArray) -> NDArray[np.uint8]:
    """HU to grey by the lung window."""
    low, high = LUNG_WINDOW_HU
    grey: NDArray[np.uint8] = (255.0 * np.clip((hu - low) / (high - low), 0.0, 1.0)).astype(np.uint8)
    return grey


@dataclass(frozen=True, slots=True, kw_only=True)
class Radiograph:
    """A projection from front to back, head up and the patient's right on the left.

    Parameters
    ----------
    image : at its right proportions
    grid : that of the volume
    across, up : axes of (k, j, i) that run across and up the image, and whether they run to the left and to the head
    """

    image: Picture
    grid: Grid
    across: tuple[int, bool]
    up: tuple[int, bool]

    def place(self, centre_lps: tuple[float, float, float]) -> tuple[float, float]:
        """Where a point lies in the image, as (x, y)."""
        index = self.grid.kji_from_lps(centre_lps)
        shares = [(index[axis] + 0.5) / self.grid.shape_kji[axis] for axis in range(3)]
        x = shares[self.across[0]] if self.across[1] else 1.0 - shares[self.across[0]]
        y = 1.0 - shares[self.up[0]] if self.up[1] else shares[self.up[0]]
        return x * self.image.width, y * self.image.height


def radiograph(volume: Volume, height: int, width: int) -> Radiograph:
    """Mean of all voxels from front to back, fitted into `width` x `height`."""
    grid = volume.grid
    directions = np.asarray(grid.directions)
    up = int(np.argmax(np.abs(directions[:, 2])))
    across = max((axis for axis in range(3) if axis != up), key=lambda axis: abs(directions[axis, 0]))
    depth = 3 - up - across
    mean_hu = volume.volume_hu.clip(-1000, 400).mean(axis=depth, dtype=np.float32)
    plane = mean_hu if up < across else mean_hu.T
    to_left, to_head = bool(directions[across, 0] > 0), bool(directions[up, 2] > 0)
    plane = plane[:: -1 if to_head else 1, :: 1 if to_left else -1]
    tall, wide = (grid.shape_kji[axis] * grid.spacing_mm[axis] for axis in (up, across))
    scale = min(height / tall, width / wide)
    image = Image.fromarray(_equalised(plane)).resize(
        (round(wide * scale), round(tall * scale)), Image.Resampling.BICUBIC
    )
    return Radiograph(image=image.convert("RGB"), grid=grid, across=(across, to_left), up=(up, to_head))


def edge_letters(grid: Grid) -> tuple[str, str]:
    """What the left and the upper edge of a slice face: R, L, A, P, H or F (PS3.3 C.7.6.1.1.1)."""
    left, upper = (-np.asarray(grid.directions[axis]) for axis in (2, 1))
    return _letter(left), _letter(upper)


def _letter(direction: FloatArray) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return "RAF"[axis] if direction[axis] < 0 else "LPH"[axis]


def _equalised(plane: FloatArray) -> NDArray[np.uint8]:
    low, high = np.percentile(plane, (1.0, 99.5))
    grey: NDArray[np.uint8] = (225.0 * np.clip((plane - low) / max(high - low, 1.0), 0.0, 1.0)).astype(np.uint8)
    return grey


def _cut(plane: NDArray[np.uint8], field: Field, resampling: Image.Resampling) -> Picture:
    (row, column), (rows, columns) = field.corner_ji, field.size_ji
    affine = (columns / field.pixels, 0.0, column + 0.5, 0.0, rows / field.pixels, row + 0.5)
    size = (field.pixels, field.pixels)
    return Image.fromarray(plane).transform(size, Image.Transform.AFFINE, affine, resampling)


def _extent_mm(grid: Grid) -> float:
    return max(grid.shape_kji[1] * grid.spacing_mm[1], grid.shape_kji[2] * grid.spacing_mm[2])
