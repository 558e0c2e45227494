"""Synthetic chest CTs with known nodules, for demos, tests and training; labelled synthetic wherever they show.

`make(seed)` gives one; `python -m training.data.phantom --help` writes one as a DICOM series. Seeds from 10,000 on use
nodule shapes of other LIDC patients than the seeds below.
"""

from training.data.phantom.build import FIRST_HELD_OUT_SEED, make, pool_of_seed
from training.data.phantom.model import (
    ADULT,
    PROFILES,
    SMALL,
    Phantom,
    Placement,
    Profile,
    Protocol,
    TrueNodule,
)

__all__ = [
    "ADULT",
    "FIRST_HELD_OUT_SEED",
    "PROFILES",
    "SMALL",
    "Phantom",
    "Placement",
    "Profile",
    "Protocol",
    "TrueNodule",
    "make",
    "pool_of_seed",
]
