"""Soft masks of many images, written to a folder with a table of what became of each and pictures to look at.

OUT/soft_masks.csv    a row per image: made, rejected (by which rules) or refused (why it could not be tried)
OUT/masks/00001.npz   image_hu, alpha, trimap, prior; for what was made
OUT/pictures/*.png    sheets of what was made and of what was rejected

The only effects of this package. What there is to make comes from `training.data.drawn`; `training.data.packing` reads
the folder again. Called from `training.cli.label`.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from PIL import Image

from inference.volume import BoolArray, HuArray
from training.data.known import Refusal
from training.errors import FolderTaken
from training.labels.recist import RecistAxes
from training.labels.soft_masks.making import SoftMask, from_readers, from_recist
from training.labels.soft_masks.pictures import PER_SHEET, PictureArray, sheet, triptych

INDEX, MASKS, PICTURES = "soft_masks.csv", "masks", "pictures"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """An image with what was drawn on it.

    Parameters
    ----------
    name : tells it from the others
    patient_id : splits are made by it; a pseudonym where a PACS has the patient
    series, image : where it is from: Series and SOP Instance UID, or folder and file
    pixel_spacing_mm : None if it is not known or the pixels are not square
    image_hu_ji : shape (rows, columns)
    drawn : shape (readers, rows, columns), or the axes in the pixels of the image
    """

    name: str
    patient_id: str
    series: str
    image: str
    pixel_spacing_mm: float | None
    image_hu_ji: HuArray
    drawn: BoolArray | RecistAxes


class Outcome(StrEnum):
    """What became of an image."""

    MADE = "made"
    REJECTED = "rejected"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the index; `reasons` are codes, `text` says of a refusal what happened, `file` is in OUT."""

    number: int
    name: str
    patient_id: str
    series: str
    image: str
    pixel_spacing_mm: float | None
    drawn: str
    outcome: Outcome
    reasons: tuple[str, ...]
    text: str
    file: str


COLUMNS = (
    "number", "name", "patient_id", "series", "image", "pixel_spacing_mm",
    "drawn", "outcome", "reasons", "text", "file",
)  # fmt: skip
RECIST = "RECIST"
"""What was drawn: axes; else so many readers' outlines."""


def soft_mask_of(subject: Subject, scale: int) -> SoftMask:
    """The soft mask by the strategy that fits what was drawn."""
    if isinstance(subject.drawn, RecistAxes):
        return from_recist(subject.image_hu_ji, subject.drawn, scale=scale)
    return from_readers(subject.image_hu_ji, subject.drawn, scale=scale)


def write(items: Iterable[Subject | Refusal], out: Path, *, scale: int) -> tuple[Row, ...]:
    """Make all soft masks and write them.

    Parameters
    ----------
    items : taken one by one, so that they may be read as they are needed
    out : a folder that is empty or not there yet
    scale : see `training.labels.soft_masks.from_mask`

    Raises
    ------
    FolderTaken : there is something in the folder
    """
    if out.exists() and any(out.iterdir()):
        raise FolderTaken(f"{out} is not empty; choose another folder")
    for folder in (MASKS, PICTURES):
        (out / folder).mkdir(parents=True)
    sheets = {outcome: _Sheets(out / PICTURES, outcome) for outcome in (Outcome.MADE, Outcome.REJECTED)}
    rows = []
    with (out / INDEX).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for row in _rows(items, out, scale, sheets):
            rows.append(row)
            table.writerow(_cells(row))
    for pages in sheets.values():
        pages.flush()
    return tuple(rows)


def reasons(rows: Sequence[Row]) -> Counter[str]:
    """How many images each reason kept out; an image may have several."""
    return Counter(reason for row in rows for reason in row.reasons)


class _Sheets:
    """Pictures that are written when a sheet is full."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._pending: list[tuple[str, PictureArray]] = []
        self._written = 0

    def add(self, caption: str, picture: PictureArray) -> None:
        self._pending.append((caption, picture))
        if len(self._pending) == PER_SHEET:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            self._written += 1
            path = self._folder / f"{self._name}-{self._written:03d}.png"
            Image.fromarray(sheet(self._pending)).save(path)
            self._pending.clear()


def _rows(items: Iterable[Subject | Refusal], out: Path, scale: int, sheets: dict[Outcome, _Sheets]) -> Iterator[Row]:
    for number, item in enumerate(items, start=1):
        if isinstance(item, Refusal):
            yield _refused(number, item)
            continue
        soft = soft_mask_of(item, scale)
        row = _row(number, item, soft)
        if row.file:
            np.savez_compressed(
                out / row.file,
                image_hu=item.image_hu_ji,
                alpha=soft.alpha_ji,
                trimap=soft.trimap_ji.astype(np.float32),
                prior=soft.prior_ji,
            )
        sheets[row.outcome].add(" ".join((f"{number:05d}", *row.reasons)), triptych(item.image_hu_ji, soft))
        yield row


def _row(number: int, subject: Subject, soft: SoftMask) -> Row:
    drawn = RECIST if isinstance(subject.drawn, RecistAxes) else f"readers: {len(subject.drawn)}"
    return Row(
        number=number,
        name=subject.name,
        patient_id=subject.patient_id,
        series=subject.series,
        image=subject.image,
        pixel_spacing_mm=subject.pixel_spacing_mm,
        drawn=drawn,
        outcome=Outcome.REJECTED if soft.rejected else Outcome.MADE,
        reasons=soft.rejected,
        text="",
        file="" if soft.rejected else f"{MASKS}/{number:05d}.npz",
    )


def _refused(number: int, refusal: Refusal) -> Row:
    return Row(
        number=number,
        name=refusal.subject,
        patient_id="",
        series="",
        image="",
        pixel_spacing_mm=None,
        drawn="",
        outcome=Outcome.REFUSED,
        reasons=(refusal.code,),
        text=refusal.text,
        file="",
    )


def _cells(row: Row) -> tuple[str, ...]:
    values = {name: getattr(row, name) for name in COLUMNS} | {"reasons": " ".join(row.reasons)}
    return tuple("" if value is None else str(value) for value in values.values())
