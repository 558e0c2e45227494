"""How well readers agree on one nodule: the ceiling of what agreement with them can mean. Pure.

R: readers, J: rows, I: columns.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from inference.volume import BoolArray
from training.labels.consensus import consensus
from training.metrics.overlap import dice

FEWEST = 3
"""Readers; of fewer there is no majority of the others."""


def against_the_others(readers_RJI: BoolArray, share: float = 0.5) -> float:
    """Mean Dice of each reader with the consensus of the others; at least two readers."""
    numbers = range(len(readers_RJI))
    return float(np.mean([dice(readers_RJI[n], consensus(np.delete(readers_RJI, n, 0), share)) for n in numbers]))


def pairwise(readers_RJI: BoolArray) -> float:
    """Mean Dice of every two readers; at least two."""
    return float(np.mean([dice(one, other) for one, other in combinations(readers_RJI, 2)]))
