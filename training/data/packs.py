"""The one form that recipes train on, whatever the data came from: `pulmonode-train data pack` writes it.

    nodules/      nodules.jsonl, a row per nodule, and its pixels: patches of 50 mm at 1 mm (`Nodule`)
    slices/       slices.jsonl, a row per slice, and its pixels: 71 x 71, with what readers drew (`Slice`)
    backgrounds/  whole CTs without reference marks at 1 mm (`training.data.scans`), if there were any
    split.json, folds.json     who trains and who validates, each with its hash
    pack.json     how much of what kind is in it, and what was refused

What comes out is what went in, number by number. Called from `training.data.packing`, `training.sources` and
`training.data.inspection`.
"""

from __future__ import annotations

import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.volume import BoolArray, HuArray
from training.data.luna16 import EDGE as PATCH_EDGE
from training.data.luna16 import Nodule
from training.data.slices import EDGE as SLICE_EDGE
from training.data.slices import Slice
from training.errors import TrainingError

NODULES, SLICES, BACKGROUNDS = "nodules", "slices", "backgrounds"
NODULES_TABLE, SLICES_TABLE = "nodules.jsonl", "slices.jsonl"
SYNTHETIC = "SYNTHETIC, a pack of phantoms"
SPLIT, FOLDS, ABOUT = "split.json", "folds.json", "pack.json"

TOGETHER = 64
"""Rows whose pixels lie in one file."""

SOFT_STEPS = 255
"""A soft mask is kept in so many steps; `training.data.soft_mask_slices` rounds to them."""

BROKEN = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile)

Row = dict[str, Any]
Arrays = Mapping[str, NDArray[Any]]


class PackBroken(TrainingError):
    """A table of the pack and its pixels do not belong together; pack the data anew."""

    code = "pack.broken"


def about(folder: Path) -> dict[str, Any] | None:
    """What a pack says of itself; None if the folder is no pack."""
    path = folder / ABOUT
    content: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return content


def is_synthetic(folder: Path) -> bool:
    """Whether a folder is a pack of phantoms."""
    return bool((about(folder) or {}).get("synthetic"))


def described(content: Mapping[str, Any]) -> str:
    """What is in a pack, in words, from what it says of itself: for contracts and figures."""
    kinds = {**content.get("nodules", {}), **content.get("slices", {})}
    named = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
    return f"{SYNTHETIC if content.get('synthetic') else 'a pack'}: {named}"


class PackWriter:
    """Writes nodules and slices into a new folder, a few at a time; to be used with `with`."""

    def __init__(self, folder: Path) -> None:
        self._nodules = _Table(folder / NODULES / NODULES_TABLE)
        self._slices = _Table(folder / SLICES / SLICES_TABLE)

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._nodules.close()
            self._slices.close()

    def add_nodule(self, nodule: Nodule, *, is_automatic: bool = False) -> None:
        """Add a patch; `is_automatic`: no person made or changed its mask, so it says."""
        row = {
            "nodule_id": nodule.nodule_id,
            "patient_id": nodule.patient_id,
            "series_uid": nodule.series_uid,
            "diameter_mm": nodule.diameter_mm,
            "ratings": nodule.ratings,
            "is_automatic": is_automatic,
        }
        hu = differences(nodule.patch_hu[None])
        self._nodules.add(row, {"hu": hu, "mask": _bits(nodule.mask[None]), "others": _bits(nodule.others[None])})

    def add_slice(self, one: Slice, series_uid: str) -> None:
        """Add a slice."""
        row = {
            "case_id": one.case_id,
            "patient_id": one.patient_id,
            "series_uid": series_uid,
            "pixel_spacing_mm": one.pixel_spacing_mm,
            "diameter_mm": one.diameter_mm,
            "ratings": one.ratings,
            "readers": len(one.readers_RJI),
            "soft_edge": 0 if one.soft_JI is None else len(one.soft_JI),
        }
        soft = np.zeros((0, 0), np.float32) if one.soft_JI is None else one.soft_JI
        arrays = {"readers": _bits(one.readers_RJI), "soft": np.rint(soft * SOFT_STEPS).astype(np.uint8).ravel()}
        self._slices.add(row, {"hu": differences(one.image_hu[None]), **arrays})


def load_nodules(folder: Path) -> tuple[Nodule, ...]:
    """All nodules of the subfolder, in the order of its table.

    Raises
    ------
    PackBroken
    """
    return tuple(nodule for rows, arrays in files_of(folder / NODULES_TABLE) for nodule in _nodules(rows, arrays))


def load_slices(folder: Path) -> tuple[Slice, ...]:
    """All slices of the subfolder, in the order of its table.

    Raises
    ------
    PackBroken
    """
    return tuple(one for rows, arrays in files_of(folder / SLICES_TABLE) for one in _slices(rows, arrays))


def rows_of(table: Path) -> list[Row]:
    """The rows of a table; its pixels are not read.

    Raises
    ------
    PackBroken
    """
    try:
        rows: list[Row] = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
        return [{**row, "file": str(row["file"]), "ratings": tuple(map(int, row["ratings"]))} for row in rows]
    except BROKEN as error:
        raise PackBroken(f"{table} cannot be read ({type(error).__name__}); pack the data anew") from error


def files_of(table: Path) -> Iterator[tuple[list[Row], Arrays]]:
    """The rows of a table, those of one file after the other, with what is in the file.

    Raises
    ------
    PackBroken
    """
    for name, some in itertools.groupby(rows_of(table), key=lambda row: row["file"]):
        rows = list(some)
        try:
            with np.load(table.parent / name) as pixels:
                arrays = {key: pixels[key] for key in pixels.files}
        except BROKEN as error:
            raise PackBroken(f"{table.parent / name} cannot be read ({type(error).__name__})") from error
        if len(arrays.get("hu", ())) != len(rows):
            raise PackBroken(f"{table.parent / name} does not hold the {len(rows)} rows that its table says")
        yield rows, arrays


def differences(values: HuArray) -> HuArray:
    """Differences along all axes but the first, in the arithmetic of 16 bits, so that `sums` undoes any values."""
    for axis in range(1, values.ndim):
        values = np.diff(values, axis=axis, prepend=np.int16(0))
    return values


def sums(values: HuArray) -> HuArray:
    """What `differences` was made of."""
    for axis in range(1, values.ndim):
        values = np.cumsum(values, axis=axis, dtype=np.int16)
    return values


class _Table:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = 0
        self._rows: list[Row] = []
        self._waiting: list[Arrays] = []

    def add(self, row: Row, arrays: Arrays) -> None:
        self._rows.append({"file": self._name, **row})
        self._waiting.append(arrays)
        if len(self._waiting) == TOGETHER:
            self._flush()

    def close(self) -> None:
        """Write what waits, and the table; nothing if there is no row."""
        if self._waiting:
            self._flush()
        if self._rows:
            self._path.write_text("".join(json.dumps(row) + "\n" for row in self._rows), encoding="utf-8")

    @property
    def _name(self) -> str:
        return f"pixels-{self._files:04}.npz"

    def _flush(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        together = {name: np.concatenate([one[name] for one in self._waiting]) for name in self._waiting[0]}
        np.savez_compressed(self._path.parent / self._name, **together)  # type: ignore[arg-type]
        self._files += 1
        self._waiting.clear()


def _nodules(rows: list[Row], arrays: Arrays) -> Iterator[Nodule]:
    shape = (len(rows), *(PATCH_EDGE,) * 3)
    masks, others = (_from_bits(arrays[name], shape) for name in ("mask", "others"))
    for row, hu, mask, other in zip(rows, sums(arrays["hu"]), masks, others, strict=True):
        yield Nodule(
            nodule_id=row["nodule_id"],
            patient_id=row["patient_id"],
            series_uid=row["series_uid"],
            patch_hu=hu,
            mask=mask,
            others=other,
            diameter_mm=row["diameter_mm"],
            ratings=row["ratings"],
        )


def _slices(rows: list[Row], arrays: Arrays) -> Iterator[Slice]:
    ends = np.cumsum([row["readers"] for row in rows])
    readers = _from_bits(arrays["readers"], (int(ends[-1]), SLICE_EDGE, SLICE_EDGE))
    edges = [row.get("soft_edge", 0) for row in rows]
    flat = arrays["soft"] if any(edges) else np.zeros(0, np.uint8)
    softs = np.split(flat, np.cumsum([edge**2 for edge in edges])[:-1])
    several = zip(rows, sums(arrays["hu"]), np.split(readers, ends[:-1]), edges, softs, strict=True)
    for row, hu, drawn, edge, soft in several:
        yield Slice(
            case_id=row["case_id"],
            patient_id=row["patient_id"],
            image_hu=hu,
            readers_RJI=drawn,
            ratings=row["ratings"],
            pixel_spacing_mm=row["pixel_spacing_mm"],
            diameter_mm=row["diameter_mm"],
            soft_JI=(soft.reshape(edge, edge) / SOFT_STEPS).astype(np.float32) if edge else None,
        )


def _bits(masks: BoolArray) -> NDArray[np.uint8]:
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def _from_bits(bits: NDArray[np.uint8], shape: tuple[int, ...]) -> BoolArray:
    return np.unpackbits(bits, axis=1, count=int(np.prod(shape[1:]))).astype(bool).reshape(shape)
