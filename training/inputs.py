"""From HU to what the network sees. Called from `training.trainer` and `training.mining`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.model_contract import INTENSITY


def normalised(volume_hu: np.ndarray) -> Tensor:
    """HU clipped to the window of the contract, shifted and scaled; any shape, float32."""
    clipped = np.clip(volume_hu.astype(np.float32), *INTENSITY.window_hu)
    return torch.from_numpy((clipped - np.float32(INTENSITY.mean_hu)) / np.float32(INTENSITY.sd_hu))
