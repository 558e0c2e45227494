"""Nodules as 2-D slices: where they come from, and the batches that the 2-D systems are trained on.

A slice is 71 x 71 pixels, so that crops of 64 may be shifted by up to 3 pixels either way and are real everywhere.
Called from `training.sources`, `training.systems` and `training.evaluation`.
Shape suffixes: N samples, B batch, R readers, J row, I column, 1 channel.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from torch import Tensor

from inference.volume import BoolArray, HuArray
from training.data.luna16 import EDGE as PATCH_EDGE
from training.data.luna16 import Nodule, integers
from training.errors import DataLacking
from training.labels.consensus import consensus, mask_from_polygon
from training.labels.malignancy import Label, LabelRule, label

EDGE = 71
CROP = 64
SPACING_MM = 0.7
"""Of slices cut from patches: the median of LIDC is 0.698; 64 pixels are 45 mm."""

WINDOW_HU = (-1000.0, 400.0)
DEMO_PATIENT = "LIDC-IDRI-0001"

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice of one nodule.

    Parameters
    ----------
    case_id, patient_id : what it is of
    image_hu : shape (71, 71), the nodule about in the middle
    readers_RJI : shape (r, 71, 71); what each reader drew, or the one reference mask; none set = no nodule
    ratings : malignancy 1..5 by reader
    pixel_spacing_mm : of the slice
    diameter_mm : of the nodule
    soft_JI : its soft mask, 71 * scale pixels wide, where the one mask is not drawn but made of RECIST axes
    """

    case_id: str
    patient_id: str
    image_hu: HuArray
    readers_RJI: BoolArray
    ratings: tuple[int, ...]
    pixel_spacing_mm: float
    diameter_mm: float
    soft_JI: FloatArray | None = None

    @property
    def is_measured(self) -> bool:
        """Whether nobody drew its mask: it was made of RECIST axes."""
        return self.soft_JI is not None

    def mask(self, share: float = 0.5) -> BoolArray:
        """Pixels that at least `share` of the readers have in their outline."""
        return consensus(self.readers_RJI, share)

    def is_malignant(self, rule: LabelRule) -> float:
        """1 malignant, 0 benign, NaN where the readers do not say."""
        said = label(self.ratings, rule)
        return float("nan") if said is Label.UNCERTAIN else float(said is Label.MALIGNANT)


def slice_of(nodule: Nodule, k: int) -> Slice:
    """A slice of a patch, resampled in plane from 1 mm to 0.7 mm (linear; the mask is cut at a half)."""
    at = (np.arange(EDGE) - EDGE // 2) * SPACING_MM + (PATCH_EDGE - 1) / 2
    grid = np.meshgrid(at, at, indexing="ij")
    image = map_coordinates(nodule.patch_hu[k].astype(np.float32), grid, order=1, mode="nearest")
    mask = map_coordinates(nodule.mask[k].astype(np.float32), grid, order=1, mode="constant") >= 0.5
    return Slice(
        case_id=f"{nodule.nodule_id}:{k}",
        patient_id=nodule.patient_id,
        image_hu=np.rint(image).astype(np.int16),
        readers_RJI=mask[None],
        ratings=nodule.ratings,
        pixel_spacing_mm=SPACING_MM,
        diameter_mm=nodule.diameter_mm,
    )


def at_spacing(one: Slice, spacing_mm: float) -> Slice:
    """A slice with a soft mask in pixels of another size (linear; the mask is cut at a half).

    Beyond the slice its nearest pixel is repeated.
    """
    assert one.soft_JI is not None, "what readers drew is not resampled"
    at = (np.arange(EDGE) - EDGE // 2) * spacing_mm / one.pixel_spacing_mm + EDGE // 2
    scale = len(one.soft_JI) // EDGE
    soft = map_coordinates(one.soft_JI, np.meshgrid(*2 * [at * scale + (scale - 1) / 2], indexing="ij"), order=1)
    image = map_coordinates(
        one.image_hu.astype(np.float32), np.meshgrid(at, at, indexing="ij"), order=1, mode="nearest"
    )
    return dataclasses.replace(
        one,
        image_hu=np.rint(image).astype(np.int16),
        readers_RJI=(soft >= 0.5)[None],
        pixel_spacing_mm=spacing_mm,
        soft_JI=soft,
    )


def load_lidc(folder: Path, *, readers: int = 1) -> tuple[Slice, ...]:
    """The shared folder of LIDC slices at their own resolution, without the demo's patient.

    Parameters
    ----------
    readers : fewer readers, and the slice is left out
    """
    with np.load(folder / "slices.npz") as pack:
        images_hu = integers(pack["lo"], pack["hi"], (1, 2)).astype(np.int16)
    rows = lidc_rows(folder)
    slices = (_lidc_slice(n, row, image) for n, (row, image) in enumerate(zip(rows, images_hu, strict=True)))
    return tuple(s for s in slices if len(s.readers_RJI) >= readers and s.patient_id != DEMO_PATIENT)


def lidc_rows(folder: Path) -> list[dict[str, Any]]:
    """The table of the shared folder of LIDC slices; the slice `lidc:n` is of row n."""
    with gzip.open(folder / "slices.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _lidc_slice(number: int, row: dict[str, Any], image_hu: HuArray) -> Slice:
    drawn: dict[int, list[dict[str, Any]]] = {}
    for reader in row["readers"]:
        drawn.setdefault(reader["reader_annotation"], []).append(reader)
    masks = np.stack(
        [
            np.logical_or.reduce([mask_from_polygon(part["polygon_xy"], image_hu.shape) for part in parts])
            for parts in drawn.values()
        ]
    )
    area_mm2 = consensus(masks, 0.5).sum() * row["pixel_spacing_mm"] ** 2
    return Slice(
        case_id=f"lidc:{number}",
        patient_id=row["patient_id"],
        image_hu=image_hu,
        readers_RJI=masks,
        ratings=tuple(parts[0]["malignancy"] for parts in drawn.values()),
        pixel_spacing_mm=row["pixel_spacing_mm"],
        diameter_mm=float(2 * np.sqrt(area_mm2 / np.pi)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Slices as arrays, ready to be drawn from.

    Parameters
    ----------
    images_NJI : shape (n, 71, 71), HU clipped to -1000..400 and brought to 0..1
    masks_NJI : shape of the images; 1 in the nodule
    soft_NJI : soft masks, 71 * scale pixels wide; the masks themselves if there are none
    malignant_N : 1, 0, or NaN where it is not known
    patients : of each
    """

    images_NJI: FloatArray
    masks_NJI: FloatArray
    soft_NJI: FloatArray
    malignant_N: FloatArray
    patients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def soft_scale(self) -> int:
        """Pixels of a soft mask per pixel of the image, along each axis."""
        return int(self.soft_NJI.shape[1] // self.images_NJI.shape[1])


def samples_of(
    slices: Sequence[Slice],
    *,
    share: float = 0.5,
    rule: LabelRule = LabelRule.MEAN_ROUNDED,
    soft: Callable[[Slice], FloatArray] | None = None,
) -> Samples:
    """Slices as arrays.

    Parameters
    ----------
    share : of the readers who must have a pixel
    rule : that makes labels of ratings
    soft : the soft mask of a slice; its mask if None

    Raises
    ------
    DataLacking : there are no slices
    """
    if not slices:
        raise DataLacking("no slice is left to train or validate on; `pulmonode-train data check` counts what there is")
    masks = np.stack([s.mask(share) for s in slices]).astype(np.float32)
    return Samples(
        images_NJI=normalised(np.stack([s.image_hu for s in slices])),
        masks_NJI=masks,
        soft_NJI=masks if soft is None else np.stack([soft(s) for s in slices]),
        malignant_N=np.array([s.is_malignant(rule) for s in slices], np.float32),
        patients=tuple(s.patient_id for s in slices),
    )


def normalised(images_hu: NDArray[np.number[Any]]) -> FloatArray:
    """HU clipped to -1000..400 and brought to 0..1 (papers 1 and 4)."""
    low, high = WINDOW_HU
    return ((np.clip(images_hu.astype(np.float32), low, high) - low) / (high - low)).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceBatch:
    """What one step sees.

    Parameters
    ----------
    image_B1JI, mask_B1JI, soft_B1JI : crops, see `Samples`
    malignant_B : 1, 0, or NaN where it is not known
    sample_B : index of each in the samples
    """

    image_B1JI: Tensor
    mask_B1JI: Tensor
    soft_B1JI: Tensor
    malignant_B: Tensor
    sample_B: Tensor

    def to(self, device: str) -> SliceBatch:
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def part(self, rank: int, world: int) -> SliceBatch:
        """Every `world`-th sample, from `rank` on."""
        return self._each(lambda tensor: tensor[rank::world])

    def _each(self, change: Callable[[Tensor], Tensor]) -> SliceBatch:
        return SliceBatch(**{field.name: change(getattr(self, field.name)) for field in dataclasses.fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """How crops vary.

    Parameters
    ----------
    shift : pixels that a crop may be off the middle along each axis, up to 3
    turns : of the eight ways to flip and turn a square: which ones are drawn (0 = as it is)
    is_exhaustive : each epoch shows every sample in each of its `turns` once, instead of one drawn at random
    """

    shift: int = 3
    turns: tuple[int, ...] = tuple(range(8))
    is_exhaustive: bool = False

    @property
    def repeats(self) -> int:
        """How often an epoch shows a sample."""
        return len(self.turns) if self.is_exhaustive else 1


def steps_per_epoch(samples: Samples, batch: int, variation: Variation) -> int:
    """Whole batches in an epoch; what remains is not shown in it."""
    return max(1, len(samples) * variation.repeats // batch)


def drawing(samples: Samples, batch: int, variation: Variation, seed: int) -> Callable[[int, object], SliceBatch]:
    """A function from the step to its batch, in an order that is shuffled anew in each epoch."""
    shown = len(samples) * variation.repeats
    size = min(batch, shown)

    def batch_at(step: int, memory: object) -> SliceBatch:
        epoch, number = divmod(step, steps_per_epoch(samples, batch, variation))
        order = np.random.default_rng([seed, epoch]).permutation(shown)[number * size : (number + 1) * size]
        return draw(samples, order, variation, np.random.default_rng([seed, epoch, number]))

    return batch_at


def draw(samples: Samples, order: NDArray[np.int64], variation: Variation, rng: np.random.Generator) -> SliceBatch:
    """A batch of some samples; numbers beyond their count mean the same samples in their next turn."""
    index = order % len(samples)
    if variation.is_exhaustive:
        turns = np.array(variation.turns)[order // len(samples)]
    else:
        turns = rng.choice(variation.turns, len(order))
    shifts = rng.integers(-variation.shift, variation.shift + 1, (len(order), 2))
    return SliceBatch(
        image_B1JI=_crops(samples.images_NJI, index, turns, shifts),
        mask_B1JI=_crops(samples.masks_NJI, index, turns, shifts),
        soft_B1JI=_crops(samples.soft_NJI, index, turns, shifts),
        malignant_B=torch.from_numpy(samples.malignant_N[index]),
        sample_B=torch.from_numpy(index),
    )


def middle(images_NJI: NDArray[Any]) -> NDArray[Any]:
    """The 64 x 64 pixels in the middle, or as many times that as the images are larger than 71."""
    scale = images_NJI.shape[-1] // EDGE
    start, size = (EDGE - CROP) // 2 * scale, CROP * scale
    return images_NJI[..., start : start + size, start : start + size]


def chosen(slices: Iterable[Slice], patients: Iterable[str]) -> tuple[Slice, ...]:
    """The slices of some patients."""
    kept = set(patients)
    return tuple(s for s in slices if s.patient_id in kept)


def _crops(
    images_NJI: FloatArray, index: NDArray[np.int64], turns: NDArray[np.int64], shifts: NDArray[np.int64]
) -> Tensor:
    scale = images_NJI.shape[1] // EDGE
    first = ((EDGE - CROP) // 2 + shifts) * scale
    size = CROP * scale
    crops = [
        turned(images_NJI[n, j : j + size, i : i + size], turn)
        for n, turn, (j, i) in zip(index, turns, first, strict=True)
    ]
    return torch.from_numpy(np.stack(crops)[:, None])


def turned(image_ji: NDArray[Any], turn: int) -> NDArray[Any]:
    """One of the eight ways to put a square: quarter turns 0..3, and from 4 on the same after a transposition."""
    return np.rot90(image_ji.T if turn >= 4 else image_ji, turn % 4)
