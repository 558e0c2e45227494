"""Packed nodules and slices, shared or packed here: every row has its pixels, every patient a side of the split."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from training.data import packs, soft_mask_slices, splits
from training.data.ct_series import Tell
from training.data.inspection.verdict import Fact, Inspection, concluded
from training.data.kinds import MARKERS, Kind
from training.data.known import Refusal
from training.data.luna16 import DEMO_PATIENTS, EDGE
from training.data.packs import BROKEN, PackBroken
from training.data.splits import Split

PIXELS = "slices.npz"
MEASURED = "masks were made of RECIST axes: nobody drew them, and nobody rated the nodules"
HERE = Path(__file__).parent.parent
LUNA16_SPLIT, LIDC_SPLIT = HERE / "luna16_split.json", HERE / "lidc_split.json"


def luna16_nodules(folder: Path, tell: Tell) -> Inspection:
    """Patches of 50 mm with masks."""
    rows = list(csv.DictReader((folder / MARKERS[Kind.LUNA16_NODULES]).read_text(encoding="utf-8").splitlines()))
    names = sorted({row.get("file", "") for row in rows})
    found: list[Fact | Refusal] = []
    for number, name in enumerate(names, start=1):
        found += _of_pack(folder / name, [row for row in rows if row.get("file", "") == name])
        tell(number, len(names))
    return _concluded(folder, Kind.LUNA16_NODULES, found, LUNA16_SPLIT)


def lidc_slices(folder: Path, tell: Tell) -> Inspection:
    """Slices with all readers' outlines."""
    with gzip.open(folder / MARKERS[Kind.LIDC_SLICES], "rt", encoding="utf-8") as lines:
        texts = list(lines)
    try:
        with np.load(folder / PIXELS) as pack:
            count = len(pack["lo"])
    except BROKEN:
        count = 0
    found: list[Fact | Refusal] = []
    for number, text in enumerate(texts):
        found.append(_of_slice(number, text, count))
        tell(number + 1, len(texts))
    return _concluded(folder, Kind.LIDC_SLICES, found, LIDC_SPLIT)


def nodules(folder: Path, tell: Tell) -> Inspection:
    """Patches that `pulmonode-train data pack` wrote."""
    return _packed(folder, Kind.NODULES, tell)


def slices(folder: Path, tell: Tell) -> Inspection:
    """Slices that `pulmonode-train data pack` wrote."""
    return _packed(folder, Kind.SLICES, tell)


def recist_masks(folder: Path, tell: Tell) -> Inspection:
    """Soft masks that `pulmonode-train label soft-masks` made of RECIST axes."""
    found: list[Fact | Refusal] = []
    for number, (uid, one) in enumerate(soft_mask_slices.slices_of(folder, found.append), start=1):
        found.append(Fact(patient_id=one.patient_id, series_uid=uid, readers=0))
        tell(number, number)
    return concluded(folder, Kind.RECIST_MASKS, found, remarks=[MEASURED])


def _packed(folder: Path, kind: Kind, tell: Tell) -> Inspection:
    found: list[Fact | Refusal] = []
    try:
        rows = packs.rows_of(folder / MARKERS[kind])
        for some, _ in packs.files_of(folder / MARKERS[kind]):
            found += [_of_packed_row(row) for row in some]
            tell(len(found), len(rows))
    except PackBroken as error:
        found.append(Refusal(code=error.code, subject=folder.name, text=str(error)))
    return _concluded(folder, kind, found, folder.parent / packs.SPLIT, "packed")


def _of_packed_row(row: packs.Row) -> Fact | Refusal:
    try:
        return Fact(
            patient_id=row["patient_id"],
            series_uid=row["series_uid"],
            readers=0 if row.get("soft_edge") else row.get("readers", 1),
            ratings=row["ratings"],
        )
    except BROKEN:
        return Refusal(code="pack.row", subject=str(row.get("file")), text="a field is missing")


def _of_pack(path: Path, rows: Sequence[dict[str, str]]) -> list[Fact | Refusal]:
    try:
        with np.load(path) as pack:
            volumes = np.bitwise_count(pack["mask"]).sum(axis=1, dtype=np.int64)
    except BROKEN:
        return [Refusal(code="pack.unreadable", subject=path.name, text=f"{len(rows)} nodules have no pixels")]
    return [_of_row(row, volumes) for row in rows]


def _of_row(row: dict[str, str], volumes: np.ndarray) -> Fact | Refusal:
    subject = f"{row.get('file')}:{row.get('index')}"
    try:
        index, expected = int(row["index"]), int(row["mask_mm3"])
        ratings = tuple(int(rating) for rating in row["malignancy_ratings"].split())
        fact = Fact(patient_id=row["patient_id"], series_uid=row["series_uid"], readers=1, ratings=ratings)
    except BROKEN:
        return Refusal(code="pack.row", subject=subject, text="a column is missing or holds no number")
    if not 0 <= index < len(volumes):
        return Refusal(code="pack.row", subject=subject, text=f"the pack holds only {len(volumes)} nodules")
    if volumes[index] != expected or not 0 < expected < EDGE**3:
        text = f"its mask has {volumes[index]} voxels, the table says {expected}"
        return Refusal(code="pack.mask", subject=subject, text=text)
    return fact


def _of_slice(number: int, text: str, count: int) -> Fact | Refusal:
    subject = f"line {number + 1}"
    if number >= count:
        return Refusal(code="pack.unreadable", subject=subject, text=f"it has no pixels, {PIXELS} holds {count} slices")
    try:
        row = json.loads(text)
        ratings = {reader["reader_annotation"]: int(reader["malignancy"]) for reader in row["readers"]}
        return Fact(
            patient_id=row["patient_id"],
            series_uid=row["series_uid"],
            readers=len(ratings),
            ratings=tuple(ratings.values()),
        )
    except BROKEN:
        return Refusal(code="pack.row", subject=subject, text="a field is missing or holds no number")


def _concluded(
    folder: Path, kind: Kind, found: Iterable[Fact | Refusal], path: Path, origin: str = "committed"
) -> Inspection:
    split = splits.load(path)
    return concluded(folder, kind, list(_checked(found, split)), split=(f"{path.name}, {origin}", split))


def _checked(found: Iterable[Fact | Refusal], split: Split) -> Iterator[Fact | Refusal]:
    """Refuse also patients that must not be used or that are on no side."""
    known = {*split.train, *split.validation, *split.unused}
    for one in found:
        if isinstance(one, Fact) and one.patient_id in DEMO_PATIENTS:
            text = f"{one.patient_id} is the patient of the demo and is never trained or validated on"
            yield Refusal(code="patient.demo", subject=one.series_uid, text=text)
        elif isinstance(one, Fact) and one.patient_id not in known:
            text = f"{one.patient_id} is on no side of the split"
            yield Refusal(code="patient.unknown", subject=one.series_uid, text=text)
        else:
            yield one
