"""Codes of the voxels of a training target. Used by `training.data` and `training.systems.jnsc.candidates`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TargetArray = NDArray[np.int8]

NOTHING, BENIGN, MALIGNANT, UNRATED = range(4)
"""No nodule; a nodule of that label; a nodule whose label is uncertain or unknown."""
