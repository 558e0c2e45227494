"""Whole CTs at 1 mm to cut training windows from: real backgrounds and phantoms, with the places that windows go to.

Called from `training.data.bank` and `training.systems.jnsc.mining`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.contract import SeriesLimits
from inference.eligibility import judge
from inference.geometry import Grid
from inference.lungs import find_lungs
from inference.resampling import resample
from inference.series import find_files, load, read_headers
from inference.volume import BoolArray, HuArray, Volume
from training.data.phantom import Phantom
from training.data.targets import NOTHING, UNRATED, TargetArray

SPACING_MM = (1.0, 1.0, 1.0)
MARGIN = 40
"""Voxels kept around the lungs: more than half a window."""

BACKGROUND_CTS = ("C3N-00247", "ACRIN-FLT-Breast_001")
"""Whole CTs without reference marks; nothing in them is labelled a nodule."""

ANY_GEOMETRY = SeriesLimits(
    slice_thickness_mm=(0.1, 10.0),
    slice_spacing_mm=(0.1, 10.0),
    pixel_spacing_mm=(0.1, 2.0),
    minimum_slices=10,
    minimum_coverage_mm=50.0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One CT at 1 mm, cut to its lungs and what surrounds them.

    Parameters
    ----------
    name : of the CT or phantom
    synthetic : a phantom
    volume_hu : shape (k, j, i)
    target : shape (k, j, i), codes of `training.data.targets`
    places_kji : shape (n, 3); voxels in and close to the lungs, where windows are centred
    nodules_kji : shape (n, 3); centres of the nodules
    """

    name: str
    synthetic: bool
    volume_hu: HuArray
    target: TargetArray
    places_kji: NDArray[np.int16]
    nodules_kji: NDArray[np.int16]


def background_scans(folder: Path) -> Iterator[Scan]:
    """The real CTs without reference marks below a folder with one folder per patient."""
    for name in BACKGROUND_CTS:
        for series in read_headers(find_files(folder / name)):
            eligibility = judge(series, ANY_GEOMETRY)
            if eligibility.grid is not None:
                volume = load(eligibility.slices, eligibility.grid)
                none = np.zeros(volume.grid.shape_kji, bool)
                yield scan_of(name, volume, find_lungs(volume).mask_kji, none, synthetic=False)


def phantom_scan(phantom: Phantom) -> Scan:
    """A phantom with its true nodules as target."""
    nodules = np.zeros(phantom.grid.shape_kji, bool)
    for nodule in phantom.nodules:
        box = zip(nodule.mask.start_kji, nodule.mask.voxels.shape, strict=True)
        nodules[tuple(slice(start, start + size) for start, size in box)] |= nodule.mask.voxels
    return scan_of(f"phantom-{phantom.seed}", phantom.volume, phantom.lungs, nodules, synthetic=True)


def scan_of(name: str, volume: Volume, lungs: BoolArray, nodules: BoolArray, *, synthetic: bool) -> Scan:
    """A CT with its masks, resampled to 1 mm and cut to the lungs."""
    at_1mm = volume.grid.resampled(SPACING_MM)
    lungs_1mm = _resampled_mask(lungs, volume.grid, at_1mm)
    box = _box(lungs_1mm)
    volume_hu = resample(volume.volume_hu.astype(np.float32), volume.grid, at_1mm)
    target = np.where(_resampled_mask(nodules, volume.grid, at_1mm)[box], UNRATED, NOTHING).astype(np.int8)
    near = ndimage.binary_dilation(lungs_1mm[box], iterations=6)
    places = np.argwhere(near)
    chosen = np.random.default_rng(0).choice(len(places), min(len(places), 20_000), replace=False)
    return Scan(
        name=name,
        synthetic=synthetic,
        volume_hu=np.rint(volume_hu[box]).astype(np.int16),
        target=target,
        places_kji=places[chosen].astype(np.int16),
        nodules_kji=_centres(target),
    )


def save(scan: Scan, path: Path) -> None:
    """Write a scan; `read` gives it back."""
    np.savez(
        path,
        name=scan.name,
        synthetic=scan.synthetic,
        volume_hu=scan.volume_hu,
        target=scan.target,
        places_kji=scan.places_kji,
    )


def read(path: Path) -> Scan:
    """Read what `save` wrote."""
    with np.load(path) as pack:
        return Scan(
            name=str(pack["name"]),
            synthetic=bool(pack["synthetic"]),
            volume_hu=pack["volume_hu"],
            target=pack["target"],
            places_kji=pack["places_kji"],
            nodules_kji=_centres(pack["target"]),
        )


def _centres(target: TargetArray) -> NDArray[np.int16]:
    labels, count = ndimage.label(target != NOTHING)
    centres = ndimage.center_of_mass(labels > 0, labels, range(1, count + 1))
    return np.asarray(np.rint(np.array(centres).reshape(-1, 3)), np.int16)


def _resampled_mask(mask: BoolArray, source: Grid, grid: Grid) -> BoolArray:
    return np.asarray(resample(mask.astype(np.uint8) * np.uint8(200), source, grid) >= 100)


def _box(mask: BoolArray) -> tuple[slice, ...]:
    (box,) = ndimage.find_objects(mask.astype(np.int8))
    return tuple(
        slice(max(0, part.start - MARGIN), min(size, part.stop + MARGIN))
        for part, size in zip(box, mask.shape, strict=True)
    )
