"""From stored values to Hounsfield units: the rescale of each slice, padding, unused bits.

Called from `pacs_node.steps.analyse` and `pulmonode series analyse`; the slices come from `inference.eligibility`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.errors import SeriesUnreadable
from inference.geometry import Grid
from inference.series.decoding import DECODABLE, stored_frames
from inference.series.guard import Decoder, StoredArray
from inference.series.limits import MAX_VOXELS
from inference.series.slices import PixelLayout, SliceHeader
from inference.volume import BoolArray, HuArray, Volume

PADDING_HU = -1024
"""what padding becomes: air, as CT numbers without padding end at -1024 (12 bits with the usual intercept)"""

THREADS = 2
"""reading files and arithmetic overlap, and each thread has a decoder of its own"""

Wanted = dict[int, tuple[int, SliceHeader]]
"""of one file: index of a frame in it, its k and its header"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where the voxels of a series go."""

    hu: HuArray
    padding: BoolArray | None


def load(slices: Sequence[SliceHeader], grid: Grid) -> Volume:
    """Read the pixels of an eligible series.

    Parameters
    ----------
    slices : in the order of k, from `inference.eligibility.judge`
    grid : from the same Eligibility

    Returns
    -------
    HU = stored value x slope + intercept of that slice (PS3.3 C.11.1.1.2), rounded half to even, limited to int16.
    Padding (PS3.3 C.7.5.1.1.2) is `PADDING_HU`, and true in `padding`.

    Raises
    ------
    SeriesUnreadable : a file is gone, cut short, broken, or a frame is not of the size that the header says
    DecoderStopped : a decoder crashed, or took more memory or time than it may
    """
    if len(slices) != grid.shape_kji[0] or np.prod(grid.shape_kji, dtype=np.int64) > MAX_VOXELS:
        raise SeriesUnreadable(
            f"{len(slices)} slices do not fill a volume of {grid.shape_kji} voxels, or it is too large"
        )
    padded = any(item.pixels is not None and item.pixels.padding is not None for item in slices)
    target = _Target(
        hu=np.empty(grid.shape_kji, np.int16), padding=np.zeros(grid.shape_kji, np.bool_) if padded else None
    )
    files: dict[Path, Wanted] = defaultdict(dict)
    for k, item in enumerate(slices):
        files[item.path][max(item.frame - 1, 0)] = (k, item)
    shares = [list(files.values())[number::THREADS] for number in range(min(THREADS, len(files)))]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda share: _read_files(share, target), shares))
    return _volume(target, grid, slices[0].frame_of_reference_uid)


def _read_files(share: Sequence[Wanted], target: _Target) -> None:
    with Decoder() as decoder:
        for wanted in share:
            _read_file(wanted, target, decoder)


def _read_file(wanted: Wanted, target: _Target, decoder: Decoder) -> None:
    """Put the wanted frames, given by their index in the file, where they belong."""
    _, instance = next(iter(wanted.values()))
    layout = instance.pixels
    if layout is None or instance.transfer_syntax_uid not in DECODABLE:
        raise SeriesUnreadable("an instance has no pixels that can be decoded")
    found = 0
    for index, raw in enumerate(stored_frames(instance, layout, decoder)):
        if index in wanted:
            k, item = wanted[index]
            _fill_slice(raw, (item, layout), target, k)
            found += 1
    if found < len(wanted):
        raise SeriesUnreadable("an instance holds fewer frames than its header says")


def _fill_slice(raw: StoredArray, header: tuple[SliceHeader, PixelLayout], target: _Target, k: int) -> None:
    item, layout = header
    if raw.shape != target.hu.shape[1:]:
        raise SeriesUnreadable("a frame is not of the size that the header says")
    if item.rescale_slope is None or item.rescale_intercept is None:
        raise SeriesUnreadable("a slice does not say how its values become Hounsfield units")
    stored = _without_unused_bits(raw, layout)
    target.hu[k] = _hu(stored, item.rescale_slope, item.rescale_intercept)
    if target.padding is not None and layout.padding is not None:
        low, high = layout.padding
        # The unused bits of padding are not always clean: scanners write -2000 as 63536 into 12 of 16 bits.
        target.padding[k] = ((stored >= low) & (stored <= high)) | ((raw >= low) & (raw <= high))
        target.hu[k][target.padding[k]] = PADDING_HU


def _without_unused_bits(raw: StoredArray, layout: PixelLayout) -> StoredArray:
    """Bits above Bits Stored may hold anything (PS3.5 8.1.1); the sign is that of the highest stored bit."""
    unused = layout.bits_allocated - layout.bits_stored
    return (raw << unused) >> unused if unused else raw


def _hu(stored: StoredArray, slope: float, intercept: float) -> HuArray:
    limits = np.iinfo(np.int16)
    if slope == 1.0 and intercept.is_integer() and abs(intercept) <= limits.max:
        low, high = int(stored.min()) + int(intercept), int(stored.max()) + int(intercept)
        if limits.min <= low and high <= limits.max:
            return np.asarray(stored.astype(np.int16) + np.int16(intercept))
    return np.asarray(np.clip(np.rint(stored * slope + intercept), limits.min, limits.max), np.int16)


def _volume(target: _Target, grid: Grid, frame_of_reference_uid: str) -> Volume:
    padding = target.padding if target.padding is not None and target.padding.any() else None
    target.hu.setflags(write=False)
    if padding is not None:
        padding.setflags(write=False)
    return Volume(volume_hu=target.hu, grid=grid, frame_of_reference_uid=frame_of_reference_uid, padding=padding)
