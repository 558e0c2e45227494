"""What files of RECIST measurements hold: axes on images that are named, not read.

Plain values, the same from a table (`training.data.recist_csv`) and from reports (`training.data.recist_sr`). Called
from `training.data.drawn`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.data.known import Refusal
from training.errors import TrainingError
from training.labels.recist import RecistAxes

SQUARE = 0.01
"""Relative difference up to which the two spacings of a pixel are one."""


class RecistUnreadable(TrainingError):
    """The file holds no measurements in a form that is known."""

    code = "recist.unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecistMeasurement:
    """Where a lesion was measured.

    Parameters
    ----------
    name : tells it from all others: Tracking UID, or file and row
    patient_id : whose it is, a pseudonym if a report says it; empty if it is not said
    series : Series Instance UID, or folder; empty if it is not said
    image : SOP Instance UID, or file name in the folder
    frame_number : from 1, of a multi-frame instance; None for a single frame
    axes : in the pixels of the image
    pixel_spacing_mm : of square pixels, where the file of measurements says it
    """

    name: str
    patient_id: str
    series: str
    image: str
    frame_number: int | None
    axes: RecistAxes
    pixel_spacing_mm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecistReading:
    """Measurements of a file or of many, and what in them cannot be used."""

    measurements: tuple[RecistMeasurement, ...] = ()
    refused: tuple[Refusal, ...] = ()

    def __add__(self, other: RecistReading) -> RecistReading:
        return RecistReading(measurements=self.measurements + other.measurements, refused=self.refused + other.refused)


def square_mm(row_mm: float, column_mm: float) -> float | None:
    """The spacing of square pixels; None for others."""
    is_known = all(math.isfinite(mm) and mm > 0 for mm in (row_mm, column_mm))
    return column_mm if is_known and abs(row_mm / column_mm - 1) <= SQUARE else None
