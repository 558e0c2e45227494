"""Soft masks of many slices: made once, kept in a cache file that is named after all that they depend on.

Called from `training.systems.dsnet_training`. How one is made: `training.labels.soft_masks`.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from training.data.slices import FloatArray, Slice
from training.data.soft_mask_slices import rescaled
from training.labels.soft_masks import from_readers, making, matting, rejection, trimaps

KeptMasks = dict[str, FloatArray]
"""Soft masks by case, scale * 71 pixels wide, without the rejected ones."""


def soft_masks(slices: Sequence[Slice], scale: int, cache: Path, tell: Callable[[str], None]) -> KeptMasks:
    """The soft masks of slices, from all readers, but for those that are not to be learned from; or the slices' own.

    Parameters
    ----------
    scale : pixels of a soft mask per pixel of the slice, along each axis
    cache : folder
    tell : told how many were rejected, and why
    """
    own = {one.case_id: rescaled(one.soft_JI, scale) for one in slices if one.soft_JI is not None}
    drawn = [one for one in slices if one.soft_JI is None]
    return own | (_of_readers(drawn, scale, cache, tell) if drawn else {})


def _of_readers(slices: Sequence[Slice], scale: int, cache: Path, tell: Callable[[str], None]) -> KeptMasks:
    path = cache / f"soft_masks-{_key(slices, scale)}.npz"
    if not path.exists():
        tell(f"making {len(slices)} soft masks")
        _make(slices, scale, path)
    with np.load(path) as pack:
        alphas_NJI, reasons = pack["alphas"], [str(reason) for reason in pack["rejected"]]
    rejected = Counter(reason for reason in reasons if reason)
    said = ", ".join(f"{count} x {reason}" for reason, count in sorted(rejected.items()))
    tell(f"{rejected.total()} of {len(slices)} soft masks rejected{f': {said}' if said else ''}")
    named = zip(slices, alphas_NJI, reasons, strict=True)
    return {one.case_id: alpha for one, alpha, reason in named if not reason}


def _make(slices: Sequence[Slice], scale: int, path: Path) -> None:
    made = [from_readers(one.image_hu, one.readers_RJI, scale=scale) for one in slices]
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"new-{path.name}")
    np.savez_compressed(
        new,
        alphas=np.stack([mask.alpha_ji for mask in made]),
        rejected=np.array([" and ".join(mask.rejected) for mask in made]),
    )
    new.replace(path)


def _key(slices: Sequence[Slice], scale: int) -> str:
    """Changes with the data, with the scale and with every line that makes a soft mask."""
    digest = hashlib.sha256(str(scale).encode())
    for module in (making, matting, rejection, trimaps):
        digest.update(inspect.getsource(module).encode())
    for one in slices:
        digest.update(np.ascontiguousarray(one.image_hu).tobytes())
        digest.update(np.packbits(one.readers_RJI).tobytes())
        digest.update(f"{one.case_id} {one.readers_RJI.shape}".encode())
    return digest.hexdigest()[:16]
