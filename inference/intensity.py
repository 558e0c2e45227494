"""HU to what a model expects, and back to what crosses the wire. Pure; needs NumPy only, as it also runs in servers.

Called from `inference.preprocess`, `inference.pipeline`, and the search model of a Triton server.
"""

from __future__ import annotations

import numpy as np

from inference.contract import Intensity
from inference.predictor import FloatTensor
from inference.volume import HuArray


def normalise(values_hu: FloatTensor, intensity: Intensity) -> None:
    """Turn HU into what the model expects, in place."""
    np.clip(values_hu, *intensity.window_hu, out=values_hu)
    values_hu -= intensity.mean_hu
    values_hu /= intensity.sd_hu


def hu_of(values: FloatTensor, intensity: Intensity) -> HuArray:
    """What `normalise` made the values from, clipped to the window and rounded to whole HU; int16."""
    values_hu: HuArray = np.rint(values * intensity.sd_hu + intensity.mean_hu).astype(np.int16)
    return values_hu
