"""Cut, scale, paste and vary training windows. Pure; randomness comes as an argument. Called from `training.data.bank`.

What a window shows must look like what the network sees when it is served: 64^3 voxels with real surroundings. A patch
of 50 mm is therefore enlarged to fill the window, or continued by reflection with the nodule anywhere in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn.functional import interpolate

from inference.geometry import Shape
from inference.volume import BoolArray, HuArray
from training.data.targets import NOTHING, UNRATED, TargetArray

SAME_SIZE = 0.15
"""Up to this relative change of scale a nodule keeps its malignancy label: ratings follow size (AUC of size 0.9)."""

FADE_MM = 3.0
AIR_HU = -500


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A cube at 1 mm and what is in it; both of the same shape (k, j, i)."""

    volume_hu: NDArray[np.float32]
    target: TargetArray


def cut(volume_hu: HuArray, target: TargetArray, start_kji: Shape, size: int) -> Window:
    """A cube of `size` voxels from `start_kji` on; beyond the borders the CT is continued by reflection."""
    index = np.ix_(*(_reflected(start, size, length) for start, length in zip(start_kji, volume_hu.shape, strict=True)))
    return Window(volume_hu=volume_hu[index].astype(np.float32), target=target[index])


def scaled(window: Window, size: int) -> Window:
    """The window enlarged or reduced to `size` voxels per axis; labels are lost if the change of size is too large."""
    before = window.target.shape[0]
    if before == size:
        return window
    volume = torch.from_numpy(window.volume_hu)[None, None]
    nodule = torch.from_numpy((window.target != NOTHING).astype(np.float32))[None, None]
    bigger = interpolate(volume, size=(size,) * 3, mode="trilinear", align_corners=False)[0, 0].numpy()
    inside = interpolate(nodule, size=(size,) * 3, mode="trilinear", align_corners=False)[0, 0].numpy() >= 0.5
    if abs(size / before - 1) > SAME_SIZE:
        target = np.where(inside, UNRATED, NOTHING)
    else:
        codes = torch.from_numpy(window.target.astype(np.float32))[None, None]
        nearest = interpolate(codes, size=(size,) * 3, mode="nearest")[0, 0].numpy()
        target = np.where(inside, np.where(nearest == NOTHING, UNRATED, nearest), NOTHING)
    return Window(volume_hu=bigger, target=target.astype(window.target.dtype))


def pasted(window: Window, patch_hu: HuArray, mask: BoolArray, rng: np.random.Generator) -> Window:
    """A real nodule set into the window at a place in aerated lung; unchanged if there is none.

    The nodule fades into the window over 3 mm of air around it; its dense neighbours stay behind, those of the place
    are kept.
    """
    (box,) = ndimage.find_objects(mask.astype(np.int8))
    grown = tuple(slice(max(0, part.start - 5), part.stop + 5) for part in box)
    nodule, hu = _turned(mask[grown], patch_hu[grown], rng)
    lung = np.argwhere(_inner(window.volume_hu < AIR_HU - 200, nodule.shape))
    if not len(lung):
        return window
    start = lung[rng.integers(len(lung))] + _border(nodule.shape) - np.array(nodule.shape) // 2
    here = tuple(slice(int(a), int(a) + size) for a, size in zip(start, nodule.shape, strict=True))
    distance = ndimage.distance_transform_edt(~nodule)
    volume_hu, target = window.volume_hu.copy(), window.target.copy()
    airy = (hu < AIR_HU) & (volume_hu[here] < AIR_HU)
    weight = np.clip(1 - (distance - 1) / FADE_MM, 0, 1) * (nodule | airy)
    volume_hu[here] = weight * hu + (1 - weight) * volume_hu[here]
    target[here][nodule] = UNRATED
    return Window(volume_hu=volume_hu, target=target)


def varied(window: Window, rng: np.random.Generator) -> Window:
    """One of the 48 symmetries of the cube, and half of the time noise, another gain and another offset."""
    axes = tuple(rng.permutation(3))
    flips = tuple(slice(None, None, -1 if flip else 1) for flip in rng.integers(0, 2, 3))
    volume_hu = np.ascontiguousarray(window.volume_hu.transpose(axes)[flips])
    target = np.ascontiguousarray(window.target.transpose(axes)[flips])
    if rng.random() < 0.5:
        noise = rng.standard_normal(volume_hu.shape, dtype=np.float32)
        volume_hu = volume_hu + np.float32(rng.uniform(0, 40)) * noise
    if rng.random() < 0.5:
        volume_hu = np.float32(rng.uniform(0.94, 1.06)) * volume_hu + np.float32(rng.uniform(-30, 30))
    return Window(volume_hu=volume_hu, target=target)


def _reflected(start: int, size: int, length: int) -> NDArray[np.intp]:
    """Indices start..start+size-1, reflected at 0 and length-1 as often as need be."""
    period = max(1, 2 * (length - 1))
    index = np.abs(np.arange(start, start + size)) % period
    return np.asarray(np.minimum(index, period - index))


def _turned(nodule: BoolArray, hu: HuArray, rng: np.random.Generator) -> tuple[BoolArray, HuArray]:
    axes = tuple(rng.permutation(3))
    flips = tuple(slice(None, None, -1 if flip else 1) for flip in rng.integers(0, 2, 3))
    return nodule.transpose(axes)[flips], hu.transpose(axes)[flips]


def _border(shape: tuple[int, ...]) -> NDArray[np.intp]:
    return np.array(shape) // 2 + 1


def _inner(lung: BoolArray, shape: tuple[int, ...]) -> BoolArray:
    """Where a nodule box of this shape may be centred so that it lies inside the window."""
    low = _border(shape)
    return lung[tuple(slice(int(a), size - int(a)) for a, size in zip(low, lung.shape, strict=True))]
