"""Where the lungs are: a mask on the grid of the CT, and which side is which.

Air inside the body, without airways and bowel gas, closed so that nodules on the pleura and vessels at the hilum are
inside. Where the body and its air are, blocks of 2.5 mm say: noise of sharp kernels is gone there, and the work is
small. In the box of the lungs airways are looked for voxel by voxel, as their walls are thinner than a block; what is
left is closed on blocks half as wide, and its surface is decided voxel by voxel, where air meets tissue. Called from
`inference.pipeline`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.blocks import blocks_of, nearest
from inference.bowel_gas import bowel_gas, is_bowel_gas
from inference.errors import LungsNotFound
from inference.findings import Laterality
from inference.geometry import FloatArray, Grid, Point, Shape
from inference.resampling import resample, signed_distance_mm
from inference.volume import BoolArray, HuArray, Volume

AIR_HU = -400
"""Lung is below, soft tissue above: half way between aerated lung (-850) and muscle (50)."""

BLOCK_MM = 2.5
HALF_BLOCKS_MM = (BLOCK_MM, BLOCK_MM / 2, BLOCK_MM / 2)
"""Along (k, j, i), for the closing: what a ball of 12 mm fills is not well told from blocks of 2.5 mm."""

MINIMUM_ML = 50.0
"""More than a trachea (about 40 ml), less than one lung of a small scan."""

FRAGMENT_SHARE = 0.05
"""Smaller pieces than this share of the largest are no lungs."""

AIRWAY_CM2 = 6.0
AIRWAY_OFFSET_MM = 25.0
AIRWAY_REACH_MM = 50.0
"""A trachea measures 2 to 4 cm2; the main bronchi part next to the midline. What reaches farther is none."""

CLEAN_AIR_HU = -900
CLEAN_SHARE = 0.1
"""At least this share of an airway is below -900 HU; of as small an island of lung less is (measured in four series:
0.20 to 0.74 of airways, 0.05 or less of recesses and other pieces)."""

TISSUE_HU = 0
"""What airways are filled with."""

CLOSING_MM = 12.0
"""Radius. Dents of nodules on the pleura are filled up to about this radius; 10 to 15 mm are usual."""

MIDLINE_SEARCH_MM = 40
MIDLINE_DOUBT_MM = 5.0

NEIGHBOURS = np.ones((3, 3, 3), bool)
IN_PLANE = np.zeros((3, 3, 3), bool)
IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)


Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lungs:
    """The lungs of one CT.

    Parameters
    ----------
    mask_kji : shape of the CT, bool
    midline_mm : LPS x of the plane between right and left lung
    """

    mask_kji: BoolArray
    midline_mm: float

    def laterality(self, point_lps: Point) -> Laterality | None:
        """Side that a point lies on; None within 5 mm of the midline."""
        offset_mm = point_lps[0] - self.midline_mm
        if abs(offset_mm) < MIDLINE_DOUBT_MM:
            return None
        return Laterality.LEFT if offset_mm > 0 else Laterality.RIGHT


def find_lungs(volume: Volume) -> Lungs:
    """Mask of both lungs, nodules and vessels inside them included.

    Works for any axial orientation, coverage and table. Slices have to be axial: the air around the patient is told
    from that inside by touching the edge of its slice.

    Raises
    ------
    LungsNotFound : less than 50 ml of lung
    """
    coarse, steps = blocks_of(volume, (BLOCK_MM,) * 3)
    air = coarse.volume_hu < AIR_HU
    body = _body(~air)
    x_mm = _x_mm(coarse.grid)
    middle_mm = float(x_mm[body].mean())
    air &= ~_outside(air)
    air &= ~bowel_gas(air, coarse, middle_mm)
    enclosed = _enclosed_lung(air, body, coarse.volume_hu, coarse.grid)
    midline_mm = _midline_mm(x_mm[enclosed], middle_mm)
    box = _box(enclosed, steps, volume.grid.shape_kji)
    part = _cropped(volume, box)
    middle = enclosed & (np.abs(x_mm - midline_mm) <= AIRWAY_REACH_MM)
    if middle.any():
        strip = _box(middle, steps, volume.grid.shape_kji)
        inside = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(strip, box, strict=True))
        part.volume_hu[inside][_airways(_cropped(volume, strip), midline_mm)] = TISSUE_HU
    mask = np.zeros(volume.grid.shape_kji, bool)
    mask[box] = _closed(part, coarse.grid, enclosed, midline_mm)
    return Lungs(mask_kji=mask, midline_mm=midline_mm)


def _closed(part: Volume, coarse: Grid, enclosed: BoolArray, midline_mm: float) -> BoolArray:
    """The mask in the box of the lungs, which no longer shows airways."""
    blocks, steps = blocks_of(part, HALF_BLOCKS_MM)
    air = blocks.volume_hu < AIR_HU
    lungs = ndimage.binary_dilation(air & nearest(enclosed, coarse, blocks.grid), iterations=3, mask=air)
    is_right = _x_mm(blocks.grid) < midline_mm
    closed = np.zeros_like(lungs)
    for side in (lungs & is_right, lungs & ~is_right):
        _add_closed(closed, side, blocks.grid)
    mask = resample(closed.astype(np.uint8) * np.uint8(200), blocks.grid, part.grid) >= 100
    _follow_surface(mask, _surface(lungs, closed, air), part.volume_hu, steps)
    return mask


def _box(blocks: BoolArray, steps: Shape, shape_kji: Shape) -> Box:
    """Where these blocks lie in the CT, with a block around them."""
    (box,) = ndimage.find_objects(blocks.astype(np.int8))
    k, j, i = (
        slice(max(0, part.start - 1) * step, min((part.stop + 1) * step, count))
        for part, step, count in zip(box, steps, shape_kji, strict=True)
    )
    return k, j, i


def _cropped(volume: Volume, box: Box) -> Volume:
    """A copy of a part of the CT."""
    k, j, i = box
    grid = volume.grid.cropped((k.start, j.start, i.start), (k.stop - k.start, j.stop - j.start, i.stop - i.start))
    return Volume(
        volume_hu=volume.volume_hu[box].copy(), grid=grid, frame_of_reference_uid=volume.frame_of_reference_uid
    )


def _outside(air: BoolArray) -> BoolArray:
    """Air that reaches the edge of its slice: around the patient, above and below the table."""
    labels, count = ndimage.label(air, IN_PLANE)
    return np.asarray(_at_edge(labels, count)[labels], bool)


def _at_edge(labels: NDArray[np.int32], count: int) -> BoolArray:
    """Whether each label reaches the edge of its slice."""
    at_edge = np.zeros(count + 1, bool)
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        at_edge[edge] = True
    at_edge[0] = False
    return at_edge


def _body(tissue: BoolArray) -> BoolArray:
    """The patient, filled slice by slice, without blanket and table shell: they are up to two blocks thick."""
    labels, count = ndimage.label(ndimage.binary_opening(tissue, IN_PLANE))
    if count == 0:
        raise LungsNotFound
    body = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return ~_outside(~body)


def _enclosed_lung(air: BoolArray, body: BoolArray, blocks_hu: HuArray, grid: Grid) -> BoolArray:
    """Of the enclosed air the pieces that lie in the body, are large and are not gas in the bowel; airways included."""
    labels, count = ndimage.label(air)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    sizes[np.bincount(labels[body], minlength=count + 1) < 0.5 * sizes] = 0
    if sizes.max() * grid.voxel_mm3 < MINIMUM_ML * 1000.0:
        raise LungsNotFound
    largest = int(np.argmax(sizes))
    large = np.flatnonzero(sizes >= FRAGMENT_SHARE * sizes[largest])
    kept = [number for number in large if number == largest or not is_bowel_gas(blocks_hu[labels == number])]
    return np.isin(labels, kept)


def _airways(strip: Volume, midline_mm: float) -> BoolArray:
    """Trachea and main bronchi: what in its slice is a small island near the midline, and with the next ones clean air.

    A recess beside the spine, or the tip of a lobe, is as small an island, and holds tissue.
    """
    labels, count = ndimage.label(strip.volume_hu < AIR_HU, IN_PLANE)
    voxels = np.bincount(labels.ravel())
    area_cm2 = voxels * strip.grid.spacing_mm[1] * strip.grid.spacing_mm[2] / 100.0
    is_small = (area_cm2 <= AIRWAY_CM2) & ~_at_edge(labels, count)
    is_small[0] = False
    small_kji = np.nonzero(is_small[labels])
    offsets_mm = strip.grid.lps_from_kji(np.transpose(small_kji))[:, 0] - midline_mm
    centres_mm = np.bincount(labels[small_kji], offsets_mm, count + 1) / voxels
    pieces, count = ndimage.label((is_small & (np.abs(centres_mm) <= AIRWAY_OFFSET_MM))[labels])
    is_clean = ndimage.mean(strip.volume_hu < CLEAN_AIR_HU, pieces, np.arange(count + 1)) >= CLEAN_SHARE
    is_clean[0] = False
    return np.asarray(is_clean[pieces], bool)


def _x_mm(grid: Grid) -> FloatArray:
    """LPS x of every voxel."""
    k, j, i = (np.arange(count, dtype=float) for count in grid.shape_kji)
    step_k, step_j, step_i = grid.matrix[0]
    return np.asarray(grid.origin_lps[0] + step_k * k[:, None, None] + step_j * j[:, None] + step_i * i)


def _midline_mm(lung_x_mm: FloatArray, body_x_mm: float) -> float:
    """Where the lungs, projected on the x axis, have their valley; of several the one nearest to the body's middle."""
    half = MIDLINE_SEARCH_MM
    counts, _ = np.histogram(lung_x_mm - body_x_mm, bins=np.arange(-2 * half, 2 * half + 1))
    smooth = ndimage.gaussian_filter1d(counts.astype(float), 3.0)[half:-half]
    offsets_mm = np.arange(-half, half) + 0.5
    lowest = offsets_mm[smooth <= smooth.min() + 1e-6 * smooth.max()]
    return body_x_mm + float(lowest[np.argmin(np.abs(lowest))])


def _add_closed(target: BoolArray, lung: BoolArray, grid: Grid) -> None:
    """Set in `target` the morphological closing of one lung by a ball of 12 mm."""
    if not lung.any():
        return
    (box,) = ndimage.find_objects(lung.astype(np.int8))
    margins = [int(CLOSING_MM / mm) + 2 for mm in grid.spacing_mm]
    padded = np.pad(lung[box], [(margin, margin) for margin in margins])
    dilated = signed_distance_mm(padded, grid) <= CLOSING_MM
    closed = signed_distance_mm(~dilated, grid) > CLOSING_MM
    target[box] |= closed[tuple(slice(margin, -margin) for margin in margins)]


def _surface(lungs: BoolArray, closed: BoolArray, air: BoolArray) -> BoolArray:
    """Blocks through which the surface of the mask runs where it is that of the lungs and not that of the closing.

    They are the outermost blocks of the lungs, and those of tissue next to the lungs, which hold some air, too.
    """
    inner = lungs & ndimage.binary_dilation(~closed)
    outer = ~closed & ~air & ndimage.binary_dilation(lungs)
    return np.asarray(inner | outer, bool)


def _follow_surface(mask: BoolArray, surface: BoolArray, volume_hu: HuArray, steps: Shape) -> None:
    """Decide by its own HU whether a voxel in a block of the surface is in the mask."""
    j, i = (count * step for count, step in zip(surface.shape[1:], steps[1:], strict=True))  # behind is no block
    for k in np.flatnonzero(surface.any(axis=(1, 2))):
        is_surface = surface[k].repeat(steps[1], axis=0).repeat(steps[2], axis=1)
        part = (slice(k * steps[0], (k + 1) * steps[0]), slice(j), slice(i))
        np.copyto(mask[part], volume_hu[part] < AIR_HU, where=is_surface)
