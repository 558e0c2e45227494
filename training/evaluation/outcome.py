"""What an evaluation leaves: figures for machines and people, and cases to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.volume import BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePicture:
    """One case for the page of pictures.

    Parameters
    ----------
    title : what is written above it
    image_ji : shape (j, i), 0..1
    truth_ji, found_ji : shape of the image
    dice : of the two
    """

    title: str
    image_ji: NDArray[np.float32]
    truth_ji: BoolArray
    found_ji: BoolArray
    dice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run.

    Parameters
    ----------
    figures : JSON; the file `evaluation.json`
    cases : all cases that can be shown; the page shows the best, the median and the worst ones
    """

    figures: dict[str, Any]
    cases: tuple[CasePicture, ...] = ()
