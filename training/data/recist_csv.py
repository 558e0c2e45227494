"""RECIST measurements from a table with DeepLesion's columns (`DL_info.csv`). Called from `training.data.drawn`.

References
----------
Yan et al.: DeepLesion. J Med Imaging 5 (2018) 036501. `Measurement_coordinates` are the ends of the long axis, then of
the short one, x before y, in pixels of the key slice; `Coarse_lesion_type` 5 is lung, -1 unknown (all of the training
part); a `Possibly_noisy` row was doubted by its authors.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from training.data.known import Refusal
from training.data.recist import RecistMeasurement, RecistReading, RecistUnreadable, square_mm
from training.labels.recist import AxesImpossible, RecistAxes, axes_of

FILE_NAME, COORDINATES = "File_name", "Measurement_coordinates"

_LUNG_OR_UNKNOWN = {"", "5", "-1"}
_TRUSTED = {"", "0"}

PATIENT = "deeplesion-"
"""Before the number of a patient, so that it is nobody else's."""


def read_table(path: Path) -> RecistReading:
    """All measurements of the table that may be of the lung.

    Parameters
    ----------
    path : CSV, UTF-8, with the columns `File_name` and `Measurement_coordinates` at least

    Returns
    -------
    `image` is the file in DeepLesion's folders: "000001_01_01_109.png" is "000001_01_01/109.png". Refused, by code:
    "recist.coordinates" not two axes, "recist.file-name" no name or one with a path, "recist.not-lung", "recist.noisy"

    Raises
    ------
    RecistUnreadable : not such a table
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            missing = {FILE_NAME, COORDINATES} - set(table.fieldnames or ())
            if missing:
                raise RecistUnreadable(f"{path.name} has no column {' and no column '.join(sorted(missing))}")
            found = [_row(number, row) for number, row in enumerate(table, start=1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecistUnreadable(f"{path.name} is not a table that can be read: {error}") from error
    return RecistReading(
        measurements=tuple(item for item in found if isinstance(item, RecistMeasurement)),
        refused=tuple(item for item in found if isinstance(item, Refusal)),
    )


def _row(number: int, row: Mapping[str, str | None]) -> RecistMeasurement | Refusal:
    file_name = _cell(row, FILE_NAME)
    subject = f"row {number} {file_name}".rstrip()
    if not file_name or set(file_name) & set("/\\\0") or file_name.startswith("."):
        return Refusal(code="recist.file-name", subject=subject, text="The row names no file of a series.")
    if _number_text(_cell(row, "Coarse_lesion_type")) not in _LUNG_OR_UNKNOWN:
        return Refusal(code="recist.not-lung", subject=subject, text="The lesion is not in the lung.")
    if _number_text(_cell(row, "Possibly_noisy")) not in _TRUSTED:
        return Refusal(code="recist.noisy", subject=subject, text="The authors of the table doubt the row.")
    try:
        axes = _axes(_cell(row, COORDINATES))
    except (AxesImpossible, ValueError) as error:
        return Refusal(code="recist.coordinates", subject=subject, text=f"The row has no two axes: {error}.")
    series, _, slice_name = file_name.rpartition("_")
    patient = _number_text(_cell(row, "Patient_index")) or series.partition("_")[0].lstrip("0")
    return RecistMeasurement(
        name=subject,
        patient_id=f"{PATIENT}{patient}" if patient else "",
        series=series,
        image=f"{series}/{slice_name}" if series else file_name,
        frame_number=None,
        axes=axes,
        pixel_spacing_mm=_spacing_mm(_cell(row, "Spacing_mm_px_")),
    )


def _cell(row: Mapping[str, str | None], column: str) -> str:
    return (row.get(column) or "").strip()


def _number_text(cell: str) -> str:
    """Whole numbers that a spreadsheet has written as 5.0."""
    return cell.removesuffix(".0")


def _spacing_mm(cell: str) -> float | None:
    """Of "column, row, slice"; None if it is missing, no number, or not that of square pixels."""
    try:
        column_mm, row_mm, _ = map(float, cell.split(","))
    except ValueError:
        return None
    return square_mm(row_mm, column_mm)


def _axes(cell: str) -> RecistAxes:
    numbers = [float(text) for text in cell.replace(";", ",").split(",")]
    if len(numbers) != 8:
        raise ValueError(f"{len(numbers)} numbers instead of 8")
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    return axes_of((points[0], points[1]), (points[2], points[3]))
