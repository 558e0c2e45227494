"""Overlap of masks. Pure; used by `training.evaluation`."""

from __future__ import annotations

import numpy as np

from inference.volume import BoolArray


def dice(one: BoolArray, other: BoolArray) -> float:
    """2 |A and B| / (|A| + |B|); 1 if both are empty."""
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2.0 * int(np.count_nonzero(one & other)) / total if total else 1.0
