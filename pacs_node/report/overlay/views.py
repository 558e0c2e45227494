"""From voxels to images: cut-outs of slices in the lung window, and masks. Used by `finding` and `summary`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.findings import Finding
from inference.geometry import FloatArray, Grid
from inference.volume import HuArray, Volume
from pacs_node.report.overlay.style import Picture

LUNG_WINDOW_HU = (-1350.0, 150.0)
"""Centre -600, width 1500: the usual window for lung."""

_REACH = 3
"""Pixels around a cut-out that its resampling may look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A CT and what was found in it.

    Parameters
    ----------
    findings : their masks lie on the grid of the volume
    image_numbers : how the CT itself numbers every slice; empty if that is not known
    """

    volume: Volume
    findings: tuple[Finding, ...]
    image_numbers: tuple[str, ...] = ()

    def slice_name(self, k: int) -> str:
        """How a reader finds a slice again."""
        count = self.volume.grid.shape_kji[0]
        return f"slice {k + 1} of {count}{self._image(k)}"

    def slice_number(self, k: int) -> str:
        """The same for narrow columns."""
        return f"{k + 1}{self._image(k, name='')}"

    def _image(self, k: int, name: str = "image ") -> str:
        number = self.image_numbers[k] if self.image_numbers else ""
        return f" ({name}{number})" if number else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A rectangular cut-out of a slice, shown at `width` x `height` pixels.

    Parameters
    ----------
    corner_ji : (row, column) index of its upper left corner; -0.5 is the edge of the first pixel
    size_ji : rows and columns that it covers, fractional
    """

    corner_ji: tuple[float, float]
    size_ji: tuple[float, float]
    width: int
    height: int

    def place(self, row: float, column: float) -> tuple[float, float]:
        """Where an index lies in the image, as (x, y)."""
        y = (row - self.corner_ji[0]) / self.size_ji[0] * self.height
        x = (column - self.corner_ji[1]) / self.size_ji[1] * self.width
        return x, y


def whole_field(grid: Grid, pixels: int) -> Field:
    """The whole slice at its right proportions; its longer side gets `pixels`."""
    _, rows, columns = grid.shape_kji
    tall, wide = rows * grid.spacing_mm[1], columns * grid.spacing_mm[2]
    scale = pixels / max(tall, wide)
    width, height = max(round(wide * scale), 1), max(round(tall * scale), 1)
    return Field(corner_ji=(-0.5, -0.5), size_ji=(float(rows), float(columns)), width=width, height=height)


def field_around(grid: Grid, centre_ji: tuple[float, float], height_mm: float, size: tuple[int, int]) -> Field:
    """`height_mm` from top to bottom around an index, and as much sideways as `size` = (width, height) has room for."""
    width, height = size
    rows, columns = height_mm / grid.spacing_mm[1], height_mm * width / height / grid.spacing_mm[2]
    corner = (centre_ji[0] - rows / 2.0, centre_ji[1] - columns / 2.0)
    return Field(corner_ji=corner, size_ji=(rows, columns), width=width, height=height)


def slice_image(volume: Volume, k: int, field: Field) -> Picture:
    """A cut-out of slice k in the lung window, black beside the slice."""
    first, last = _bounds(field)
    near_hu = volume.volume_hu[k, max(first[0], 0) : max(last[0], 0), max(first[1], 0) : max(last[1], 0)]
    return _cut(windowed(near_hu), (max(first[0], 0), max(first[1], 0)), field, Image.Resampling.BICUBIC).convert("RGB")


def mask_image(finding: Finding, k: int, field: Field) -> Picture:
    """Where the mask of a finding covers the cut-out; 255 inside, its edge smoothed within the width of a pixel."""
    start, voxels = finding.mask.start_kji, finding.mask.voxels
    if not start[0] <= k < start[0] + voxels.shape[0]:
        return Image.new("L", (field.width, field.height))
    plane = voxels[k - start[0]].astype(np.uint8) * 255
    return _cut(plane, (start[1], start[2]), field, Image.Resampling.BILINEAR).point([0] * 128 + [255] * 128)


def windowed(hu: FloatArray | HuArray) -> NDArray[np.uint8]:
    """HU to grey by the lung window."""
    low, high = LUNG_WINDOW_HU
    grey: NDArray[np.uint8] = (np.clip(hu - np.float32(low), 0.0, high - low) * (255.0 / (high - low))).astype(np.uint8)
    return grey


def axes_letters(grid: Grid) -> tuple[str, str]:
    """What rows and columns of a slice run towards: R, L, A, P, H or F, as Patient Orientation (PS3.3 C.7.6.1.1.1)."""
    return _letter(np.asarray(grid.directions[2])), _letter(np.asarray(grid.directions[1]))


def edge_letters(grid: Grid) -> tuple[str, str]:
    """What the left and the upper edge of a slice face."""
    return _letter(-np.asarray(grid.directions[2])), _letter(-np.asarray(grid.directions[1]))


def _letter(direction: FloatArray) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return "RAF"[axis] if direction[axis] < 0 else "LPH"[axis]


def _bounds(field: Field) -> tuple[tuple[int, int], tuple[int, int]]:
    """First (row, column) that a cut-out may look at, and the one after the last."""
    (row, column), (rows, columns) = field.corner_ji, field.size_ji
    first = math.floor(row) - _REACH, math.floor(column) - _REACH
    return first, (math.ceil(row + rows) + _REACH, math.ceil(column + columns) + _REACH)


def _cut(plane: NDArray[np.uint8], start_ji: tuple[int, int], field: Field, resampling: Image.Resampling) -> Picture:
    """A plane that starts at an index of the slice, as the field shows it; 0 where it does not reach."""
    first, last = _bounds(field)
    source = Image.new("L", (last[1] - first[1], last[0] - first[0]))
    if plane.size:
        source.paste(Image.fromarray(plane), (start_ji[1] - first[1], start_ji[0] - first[0]))
    (row, column), (rows, columns) = field.corner_ji, field.size_ji
    left, top = column + 0.5 - first[1], row + 0.5 - first[0]
    return source.resize((field.width, field.height), resampling, (left, top, left + columns, top + rows))
