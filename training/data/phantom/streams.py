"""Random numbers by stage: each has its own named generator, so that a new stage does not reshuffle the others."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, stage: str) -> np.random.Generator:
    """Generator of one stage of one phantom.

    Parameters
    ----------
    seed : of the phantom, not negative
    stage : name of the stage; equal names give equal numbers
    """
    return np.random.default_rng([seed, zlib.crc32(stage.encode())])
