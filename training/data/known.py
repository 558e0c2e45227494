"""Nodules that are known to be in a volume, whoever marked them: what every reader of real data gives.

LIDC-IDRI, LUNA16, DeepLesion and DICOM pairs all end here, so that training sets are made from any of them the same way
(`training.data.known_patches`, `training.data.known_slices`). Plain values, and masks cut to their boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.findings import CroppedMask
from inference.geometry import Grid, Point, Shape
from inference.volume import BoolArray, Volume
from training.labels.recist import RecistAxes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownNodule:
    """One nodule of one series.

    Parameters
    ----------
    nodule_id : unique among the nodules of the source
    patient_id, series_uid : whose it is; splits are made by `patient_id`
    centre_lps : mm
    diameter_mm : as the source measures it
    mask : its voxels on the grid of the CT: what half of the readers marked, or the one mask there is; None if nobody
        drew it
    readers : what each reader marked; empty if only `mask` is known
    ratings : malignancy 1..5, one per reader who rated it
    is_automatic : no person made or changed its mask, so it says
    axes : its RECIST axes, in pixels of the slice that the centre lies on, where they are all that was drawn
    """

    nodule_id: str
    patient_id: str
    series_uid: str
    centre_lps: Point
    diameter_mm: float
    mask: CroppedMask | None = None
    readers: tuple[CroppedMask, ...] = ()
    ratings: tuple[int, ...] = ()
    is_automatic: bool = False
    axes: RecistAxes | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownSeries:
    """A CT with all that is known to be in it.

    Parameters
    ----------
    patient_id, series_uid : whose it is
    volume : its voxels; where the source has no patient space, LPS is that of its own grid
    nodules : at least one, or none: then the series is known to have no nodule
    excluded : what counts neither as a nodule nor as none (LUNA16's list of exclusions)
    """

    patient_id: str
    series_uid: str
    volume: Volume
    nodules: tuple[KnownNodule, ...]
    excluded: tuple[KnownNodule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that is not used, and why.

    Parameters
    ----------
    code : stable, "lidc.unknown-series"
    subject : file, series or row that is meant
    text : a sentence for people
    """

    code: str
    subject: str
    text: str


def cropped(mask: BoolArray, start_kji: Shape = (0, 0, 0)) -> CroppedMask | None:
    """A mask cut to its bounding box.

    Parameters
    ----------
    start_kji : index in the CT of the mask's first voxel

    Returns
    -------
    None if no voxel is set
    """
    if not mask.any():
        return None
    spans = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = tuple(slice(int(span[0]), int(span[-1]) + 1) for span in spans)
    k, j, i = (start + part.start for start, part in zip(start_kji, box, strict=True))
    return CroppedMask(start_kji=(k, j, i), voxels=mask[box].copy())


def whole(mask: CroppedMask, shape_kji: Shape) -> BoolArray:
    """A cropped mask on the grid that it was cut from."""
    voxels = np.zeros(shape_kji, bool)
    box = zip(mask.start_kji, mask.voxels.shape, strict=True)
    voxels[tuple(slice(start, start + size) for start, size in box)] = mask.voxels
    return voxels


def centre_lps(mask: BoolArray, start_kji: Shape, grid: Grid) -> Point:
    """Centre of mass of a mask whose first voxel has this index in the grid; mm. At least one voxel is set."""
    x, y, z = grid.lps_from_kji(np.argwhere(mask).mean(axis=0) + start_kji).tolist()
    return x, y, z
