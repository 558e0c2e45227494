"""From HU to what the network sees. Called from all of `training.systems.jnsc`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.data.bank import target_of
from training.data.luna16 import EDGE, Nodule
from training.data.windows import Window, cut
from training.systems.jnsc.contracts import INTENSITY, ROI

MARGIN = (ROI - EDGE) // 2
"""Voxels by which a patch of 50 mm is continued on each side to fill a window."""


def normalised(volume_hu: np.ndarray) -> Tensor:
    """HU clipped to the window of the contract, shifted and scaled; any shape, float32."""
    clipped = np.clip(volume_hu.astype(np.float32), *INTENSITY.window_hu)
    return torch.from_numpy((clipped - np.float32(INTENSITY.mean_hu)) / np.float32(INTENSITY.sd_hu))


def continued(nodule: Nodule) -> Window:
    """A nodule's patch in the middle of a window of 64 mm, continued by reflection."""
    return cut(nodule.patch_hu, target_of(nodule), (-MARGIN,) * 3, ROI)
