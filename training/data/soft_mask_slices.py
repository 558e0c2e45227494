"""From a folder of soft masks to slices that recipes train on: what RECIST axes of a PACS or of DeepLesion become.

Nobody drew these masks: GrabCut made them of two axes, matting their soft edges. Each gives one slice, with the soft
mask and a hard one at 0.5; there is no third dimension, no rating, no second reader. Masks made of readers' outlines
are not taken: the outlines themselves are packed, and DSNet makes soft masks of them. Called from
`training.data.packing` and `training.data.inspection`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.volume import BoolArray, HuArray
from training.data.dicom_seg import pseudonym
from training.data.known import Refusal
from training.data.luna16 import DEMO_PATIENTS
from training.data.packs import SOFT_STEPS
from training.data.slices import EDGE, FloatArray, Slice
from training.data.soft_mask_folder import INDEX, RECIST, Outcome

HARD = 0.5
BROKEN = (OSError, ValueError, KeyError)

Refuse = Callable[[Refusal], object]
Row = Mapping[str, str]


class _Unusable(Exception):
    """Why a soft mask gives no slice: code and sentence."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def slices_of(folder: Path, refuse: Refuse) -> Iterator[tuple[str, Slice]]:
    """The slices of a folder, each with the UID or name of its series.

    Parameters
    ----------
    folder : what `pulmonode-train label soft-masks` wrote
    refuse : told of everything that is not used: what was refused or rejected there, by its own codes;
        "soft-mask.of-readers", "soft-mask.no-patient", "patient.demo", "soft-mask.no-spacing", "soft-mask.too-large",
        "soft-mask.broken"
    """
    with (folder / INDEX).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        try:
            _check(row)
            yield row["series"], _slice(folder, row)
        except _Unusable as error:
            refuse(Refusal(code=error.code, subject=row.get("name", ""), text=error.text))
        except BROKEN as error:
            text = f"a column or its file is missing or cannot be read ({type(error).__name__})"
            refuse(Refusal(code="soft-mask.broken", subject=row.get("name", ""), text=text))


def _check(row: Row) -> None:
    if row["outcome"] != Outcome.MADE:
        text = row["text"] or f"its soft mask was {row['outcome']}: {row['reasons']}"
        raise _Unusable(row["reasons"].partition(" ")[0], text)
    if row["drawn"] != RECIST:
        raise _Unusable("soft-mask.of-readers", "readers outlined it: pack their outlines, not masks made of them")
    if not row["patient_id"]:
        raise _Unusable("soft-mask.no-patient", "nobody can tell whose it is, so it has no side of a split")
    if row["patient_id"] in DEMO_PATIENTS | set(map(pseudonym, DEMO_PATIENTS)):
        raise _Unusable("patient.demo", "the patient of the demo is never trained or validated on")
    if not row["pixel_spacing_mm"]:
        raise _Unusable("soft-mask.no-spacing", "the size of its pixels is not known, or they are not square")


def _slice(folder: Path, row: Row) -> Slice:
    with np.load(folder / row["file"]) as arrays:
        image_hu, alpha = arrays["image_hu"], arrays["alpha"]
    scale = len(alpha) // len(image_hu)
    hard = averaged(alpha, scale) >= HARD
    if not hard.any():
        raise _Unusable("soft-mask.too-small", "it covers no pixel by half")
    start_ji = _start(hard)
    mask = _cut(hard, start_ji, EDGE)
    if mask.sum() < hard.sum():
        raise _Unusable("soft-mask.too-large", f"it does not fit into {EDGE} pixels")
    first = start_ji[0] * scale, start_ji[1] * scale
    # rounded as a pack keeps it, so that it gives back what it was given
    soft = np.rint(_cut(alpha, first, EDGE * scale).clip(0, 1) * SOFT_STEPS) / SOFT_STEPS
    spacing_mm = float(row["pixel_spacing_mm"])
    return Slice(
        case_id=f"recist:{row['name']}",
        patient_id=row["patient_id"],
        image_hu=_image(image_hu, start_ji),
        readers_RJI=mask[None],
        ratings=(),
        pixel_spacing_mm=spacing_mm,
        diameter_mm=float(2 * np.sqrt(hard.sum() / np.pi) * spacing_mm),
        soft_JI=soft.astype(np.float32),
    )


def averaged(alpha: FloatArray, scale: int) -> FloatArray:
    """A soft mask in pixels that are `scale` times as long."""
    rows, columns = (size // scale for size in alpha.shape)
    pixels: FloatArray = alpha.reshape(rows, scale, columns, scale).mean((1, 3))
    return pixels


def rescaled(soft_JI: FloatArray, scale: int) -> FloatArray:
    """A soft mask of a slice with `scale` pixels per pixel of the slice: repeated, then averaged."""
    before = len(soft_JI) // EDGE
    repeated: FloatArray = np.repeat(np.repeat(soft_JI, scale, 0), scale, 1)
    return averaged(repeated, before)


def _start(mask: BoolArray) -> tuple[int, int]:
    """Row and column of the first pixel of a cut with the mask's box in its middle."""
    rows, columns = np.nonzero(mask)
    j, i = (int(low + high) // 2 for low, high in ((rows.min(), rows.max()), (columns.min(), columns.max())))
    return j - EDGE // 2, i - EDGE // 2


def _image(image_hu: HuArray, start_ji: tuple[int, int]) -> HuArray:
    """The cut; beyond the image its nearest pixel is repeated."""
    rows, columns = (
        np.clip(np.arange(start, start + EDGE), 0, size - 1)
        for start, size in zip(start_ji, image_hu.shape, strict=True)
    )
    return image_hu[np.ix_(rows, columns)]


def _cut(values: NDArray[Any], start_ji: tuple[int, int], edge: int) -> NDArray[Any]:
    """The cut; beyond the mask there is nothing."""
    result = np.zeros((edge, edge), values.dtype)
    there = [slice(max(0, at), max(0, min(at + edge, size))) for at, size in zip(start_ji, values.shape, strict=True)]
    part = values[tuple(there)]
    j, i = (max(0, -at) for at in start_ji)
    result[j : j + part.shape[0], i : i + part.shape[1]] = part
    return result
