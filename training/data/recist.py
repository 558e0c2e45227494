"""What files of RECIST measurements hold: axes on images that are named, not read.

Plain values, the same from a table (`training.data.recist_csv`) and from reports (`training.data.recist_sr`). Called
from `training.data.drawn`.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.data.known import Refusal
from training.errors import TrainingError
from training.labels.recist import RecistAxes


class RecistUnreadable(TrainingError):
    """The file holds no measurements in a form that is known."""

    code = "recist.unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecistMeasurement:
    """Where a lesion was measured.

    Parameters
    ----------
    name : tells it from all others: Tracking UID, or file and row
    patient_id : whose it is; empty if it is not said
    series : Series Instance UID, or folder; empty if it is not said
    image : SOP Instance UID, or file name in the folder
    frame_number : from 1, of a multi-frame instance; None for a single frame
    axes : in the pixels of the image
    """

    name: str
    patient_id: str
    series: str
    image: str
    frame_number: int | None
    axes: RecistAxes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecistReading:
    """Measurements of a file or of many, and what in them cannot be used."""

    measurements: tuple[RecistMeasurement, ...] = ()
    refused: tuple[Refusal, ...] = ()

    def __add__(self, other: RecistReading) -> RecistReading:
        return RecistReading(measurements=self.measurements + other.measurements, refused=self.refused + other.refused)
