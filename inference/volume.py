"""The voxels of one series, immutable. Made by `inference.series`, read by all later stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.geometry import Grid

HuArray = NDArray[np.int16]
BoolArray = NDArray[np.bool_]
ByteArray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A CT in Hounsfield units.

    Parameters
    ----------
    volume_hu : shape (k, j, i), int16, read-only; k runs along `grid.directions[0]`, from the first slice to the last
    grid : where the voxels are
    frame_of_reference_uid : the space in which `grid` is meant; empty if the series has none
    padding : shape (k, j, i), true where the scanner measured nothing (PixelPaddingValue); None if nowhere
    """

    volume_hu: HuArray
    grid: Grid
    frame_of_reference_uid: str
    padding: BoolArray | None = None
