"""The LUNA16 nodules of the shared data folder: 50 mm patches at 1 mm with masks and the readers' ratings.

Called from `training.sources`, `training.data.splits` and `training.evaluation`. Origin: LIDC-IDRI (CC BY 3.0), LUNA16.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.volume import BoolArray, HuArray
from training.labels.malignancy import Label, label

EDGE = 50
HU_STEP = 4
DEMO_PATIENTS = frozenset({"LIDC-IDRI-0001"})
"""Their CT is the demo's and the acceptance tests': never trained or validated on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """One nodule and its surroundings.

    Parameters
    ----------
    nodule_id : name of the patch file and index in it
    patient_id, series_uid : de-identified LIDC ids
    patch_hu : shape (50, 50, 50), 1 mm, nodule in the middle
    mask : shape of the patch; voxels of this nodule
    others : shape of the patch; voxels of other known nodules of the series
    diameter_mm : LUNA16's
    ratings : malignancy 1..5 by reader
    """

    nodule_id: str
    patient_id: str
    series_uid: str
    patch_hu: HuArray
    mask: BoolArray
    others: BoolArray
    diameter_mm: float
    ratings: tuple[int, ...]

    @property
    def label(self) -> Label:
        """By the median rule."""
        return label(self.ratings)


def load(folder: Path) -> tuple[Nodule, ...]:
    """All nodules of the folder, in the order of its table, without the demo's patients."""
    rows = list(csv.DictReader((folder / "nodules.csv").read_text(encoding="utf-8").splitlines()))
    packs = {name: _unpacked(folder / name) for name in sorted({row["file"] for row in rows})}
    masks = [packs[row["file"]][1][int(row["index"])] for row in rows]
    return tuple(
        _nodule(row, packs[row["file"]][0][int(row["index"])], mask, _others(number, rows, masks))
        for number, (row, mask) in enumerate(zip(rows, masks, strict=True))
        if row["patient_id"] not in DEMO_PATIENTS
    )


def fingerprint(folder: Path) -> str:
    """SHA-256 over names and contents of the files, in the order of names."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def integers(low: NDArray[np.uint8], high: NDArray[np.uint8], axes: tuple[int, ...]) -> NDArray[np.int32]:
    """Undo the packing of the files: differences along `axes`, zig-zag signs, low and high bytes apart."""
    zigzag = low.astype(np.int32) | (high.astype(np.int32) << 8)
    values = (zigzag >> 1) ^ -(zigzag & 1)
    for axis in axes:
        np.cumsum(values, axis=axis, out=values)
    return values


def _unpacked(path: Path) -> tuple[HuArray, BoolArray]:
    with np.load(path) as pack:
        volumes_hu = (HU_STEP * integers(pack["lo"], pack["hi"], (1, 2, 3))).astype(np.int16)
        bits = np.unpackbits(pack["mask"], axis=1)[:, : EDGE**3]
    return volumes_hu, bits.reshape(-1, EDGE, EDGE, EDGE).astype(bool)


def _nodule(row: Mapping[str, str], patch_hu: HuArray, mask: BoolArray, others: BoolArray) -> Nodule:
    return Nodule(
        nodule_id=f"{row['file']}:{row['index']}",
        patient_id=row["patient_id"],
        series_uid=row["series_uid"],
        patch_hu=patch_hu,
        mask=mask,
        others=others & ~mask,
        diameter_mm=float(row["diameter_mm"]),
        ratings=tuple(int(rating) for rating in row["malignancy_ratings"].split()),
    )


def _others(number: int, rows: list[dict[str, str]], masks: list[BoolArray]) -> BoolArray:
    """Where the masks of the other nodules of the series lie in this patch."""
    result = np.zeros((EDGE,) * 3, bool)
    for offset_kji, mask in _neighbours(number, rows, masks):
        here = tuple(slice(max(0, step), min(EDGE, EDGE + step)) for step in offset_kji)
        there = tuple(slice(max(0, -step), min(EDGE, EDGE - step)) for step in offset_kji)
        result[here] |= mask[there]
    return result


def _neighbours(
    number: int, rows: list[dict[str, str]], masks: list[BoolArray]
) -> Iterator[tuple[list[int], BoolArray]]:
    for other, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        if other == number or row["series_uid"] != rows[number]["series_uid"]:
            continue
        offset = [round(float(row[key]) - float(rows[number][key])) for key in _ORIGIN_KJI]
        if max(map(abs, offset)) < EDGE:
            yield offset, mask


_ORIGIN_KJI = ("origin_z_mm", "origin_y_mm", "origin_x_mm")
