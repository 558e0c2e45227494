"""Codes of the voxels of a training target. Used by `training.data` and `training.systems.jnsc.candidates`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TargetArray = NDArray[np.signedinteger[Any]]

NOTHING, BENIGN, MALIGNANT, UNRATED = range(4)
"""No nodule; a nodule of that label; a nodule whose label is uncertain or unknown."""

MARGINAL = 4
"""And above, one code for each: a nodule whose label is a pseudo-label (`training.systems.jnsc.pseudo`)."""
