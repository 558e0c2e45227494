"""A projection of the CT like a radiograph, as a map of the chest. Used by `summary`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.geometry import FloatArray, Grid
from inference.volume import Volume
from pacs_node.report.overlay.style import Picture

_DEPTH_MM = 2.0
"""Voxels nearer to each other than this from front to back say the same in a mean over the whole chest."""


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
    """Mean from front to back, fitted into `width` x `height`."""
    grid = volume.grid
    directions = np.asarray(grid.directions)
    up = int(np.argmax(np.abs(directions[:, 2])))
    across = max((axis for axis in range(3) if axis != up), key=lambda axis: abs(directions[axis, 0]))
    mean_hu = _mean_hu(volume, 3 - up - across)
    plane = mean_hu if up < across else mean_hu.T
    to_left, to_head = bool(directions[across, 0] > 0), bool(directions[up, 2] > 0)
    plane = plane[:: -1 if to_head else 1, :: 1 if to_left else -1]
    tall, wide = (grid.shape_kji[axis] * grid.spacing_mm[axis] for axis in (up, across))
    scale = min(height / tall, width / wide)
    size = max(round(wide * scale), 1), max(round(tall * scale), 1)
    image = Image.fromarray(_equalised(plane)).resize(size, Image.Resampling.BICUBIC)
    return Radiograph(image=image.convert("RGB"), grid=grid, across=(across, to_left), up=(up, to_head))


def _mean_hu(volume: Volume, depth: int) -> FloatArray:
    """Mean of the attenuation along an axis, without metal and air beyond air."""
    step = max(int(_DEPTH_MM / volume.grid.spacing_mm[depth]), 1)
    thinned = np.moveaxis(volume.volume_hu, depth, 0)[::step]
    total = np.zeros(thinned.shape[1:], np.int32)
    for plane_hu in thinned:
        total += plane_hu.clip(-1000, 400)
    mean_hu: FloatArray = total / len(thinned)
    return mean_hu


def _equalised(plane: FloatArray) -> NDArray[np.uint8]:
    low, high = np.percentile(plane, (1.0, 99.5))
    grey: NDArray[np.uint8] = (225.0 * np.clip((plane - low) / max(high - low, 1.0), 0.0, 1.0)).astype(np.uint8)
    return grey
