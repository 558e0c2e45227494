"""A CT as it lies on disk: its slices in order along their normal, and their Hounsfield units.

pydicom and numpy alone, so that a mistake in what reads the CT for the models cannot hide here. Called from
`directories`.

References
----------
PS3.3 C.11.1.1.2 (rescale), C.7.5.1.1.2 (padding).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from pacs_node.report.check.frames import Slice, functional_group, read_source
from pacs_node.report.check.problem import UNREADABLE

Hu = NDArray[np.int16]
Stored = NDArray[np.integer[Any]]

UNDECODABLE = (*UNREADABLE, OSError, EOFError, RuntimeError, MemoryError)
"""What decoders of broken or unknown pixels raise."""
_MOST_VOXELS = 2**30
"""2 GiB in HU: a header that claims more is broken."""
_AIR_HU = -1024
"""What padding becomes: CT numbers without padding end there."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ct:
    """A CT as `check` takes it.

    Parameters
    ----------
    headers : one for each slice
    frame_numbers : of each slice of an Enhanced CT, from 1; empty for others
    volume_hu : shape (k, j, i)
    """

    headers: tuple[Dataset, ...]
    frame_numbers: tuple[int, ...]
    volume_hu: Hu


def read_ct(paths: Sequence[Path]) -> Ct:
    """The CT in these files.

    Raises
    ------
    one of UNDECODABLE : the files are no stack of slices of one size in HU, or cannot be decoded
    """
    headers = {path: dcmread(path, stop_before_pixels=True) for path in paths}
    source = read_source(list(headers.values()), ())
    shape = (len(source.slices), source.rows, source.columns)
    if math.prod(shape) > _MOST_VOXELS:
        raise ValueError("too large")
    order = np.argsort(source.positions_lps @ source.normal, kind="stable")
    slices = [source.slices[index] for index in order]
    places = {(item.sop_instance_uid, item.frame_number): k for k, item in enumerate(slices)}
    volume_hu = np.empty(shape, np.int16)
    filled = 0
    for path in paths:
        for place, plane_hu in _planes(dcmread(path)):
            volume_hu[places[place]] = plane_hu
            filled += 1
    if filled != len(slices):
        raise ValueError("frames are missing, or there are more of them than places")
    by_uid = {str(header.SOPInstanceUID): header for header in headers.values()}
    return Ct(
        headers=tuple(by_uid[item.sop_instance_uid] for item in slices),
        frame_numbers=_frame_numbers(slices),
        volume_hu=volume_hu,
    )


def _frame_numbers(slices: Sequence[Slice]) -> tuple[int, ...]:
    return tuple(item.frame_number for item in slices if item.frame_number is not None)


def _planes(instance: Dataset) -> Iterator[tuple[tuple[str, int | None], Hu]]:
    """Every frame with the UID and the frame number (None: not Enhanced) that it goes by."""
    uid, is_enhanced = str(instance.SOPInstanceUID), "PerFrameFunctionalGroupsSequence" in instance
    frames = instance.pixel_array.reshape(-1, int(instance.Rows), int(instance.Columns))
    for number, stored in enumerate(frames, start=1):
        frame = number if is_enhanced else None
        yield (uid, frame), _hu(stored, instance, functional_group(instance, frame, "PixelValueTransformationSequence"))


def _hu(stored: Stored, instance: Dataset, rescale: Dataset) -> Hu:
    exact = stored * float(rescale.RescaleSlope) + float(rescale.RescaleIntercept)
    limits = np.iinfo(np.int16)
    plane_hu: Hu = np.clip(np.rint(exact), limits.min, limits.max).astype(np.int16)
    plane_hu[_is_padding(stored, instance)] = _AIR_HU
    return plane_hu


def _is_padding(stored: Stored, instance: Dataset) -> NDArray[np.bool_]:
    """Pixels from the Pixel Padding Value to its Range Limit.

    These may be written with another sign than pixels have, or into bits that are not stored, which pydicom clears.
    """
    named = [instance.get(keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    written = np.array([int(value) & 0xFFFF for value in named if value is not None], np.uint16)
    if not written.size:
        return np.zeros(stored.shape, bool)
    unused = 8 * stored.itemsize - int(instance.BitsStored)
    limits = written.astype(stored.dtype) << unused >> unused
    return np.asarray((stored >= limits.min()) & (stored <= limits.max()))
