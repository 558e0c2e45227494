"""From a CT to what the detector sees: the lungs' box at the model's spacing, normalised as its contract says.

Called from `inference.pipeline`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.contract import COARSEST, Contract
from inference.errors import ContractInvalid, LungsNotFound
from inference.geometry import Grid
from inference.intensity import normalise
from inference.predictor import FloatTensor
from inference.resampling import resample
from inference.volume import BoolArray, Volume

MARGIN_MM = 8.0
"""Around the lungs: candidates on the pleura with the tissue next to them."""

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What the windows are cut from.

    Parameters
    ----------
    values_kji : normalised intensities, shape of the grid
    grid : where they are; its length along each axis is one window and a whole number of steps (see `field_grid`)
    lungs_kji : the lungs on that grid, bool
    """

    values_kji: FloatTensor
    grid: Grid
    lungs_kji: BoolArray


def prepare(volume: Volume, lungs_kji: BoolArray, contract: Contract) -> Field:
    """Resample the surroundings of the lungs and normalise them.

    Parameters
    ----------
    lungs_kji : shape of the CT
    contract : of a detector

    Raises
    ------
    ContractInvalid : the model is no detector
    LungsNotFound : the mask is empty
    """
    if contract.intensity is None:
        raise ContractInvalid(f"{contract.model} says nothing about intensities")
    grid = field_grid(volume.grid, lungs_kji, contract)
    box = _source_box(volume.grid, grid)
    crop = volume.volume_hu[box]
    start, shape = tuple(part.start for part in box), crop.shape
    values = resample(
        crop.astype(np.float32),
        volume.grid.cropped((start[0], start[1], start[2]), (shape[0], shape[1], shape[2])),
        grid,
    )
    normalise(values, contract.intensity)
    return Field(values_kji=values, grid=grid, lungs_kji=_nearest(lungs_kji, volume.grid, grid))


def field_grid(ct: Grid, lungs_kji: BoolArray, contract: Contract) -> Grid:
    """Grid around the lungs, inside the CT as far as it is large enough: one window and whole steps along each axis.

    Windows cover it without remainder if they go in strides. What is asked as one goes in cells, which are smaller.

    Raises
    ------
    ContractInvalid, LungsNotFound
    """
    if contract.spacing_mm is None or contract.detection is None:
        raise ContractInvalid(f"{contract.model} is no detector: its contract has no spacing or no detection")
    spans = _spans(lungs_kji)
    roi, spacing = contract.detection.roi_kji, contract.spacing_mm
    step = (COARSEST,) * 3 if contract.detection.is_one_pass else contract.detection.stride_kji
    first_mm, last_mm = np.transpose(spans) * ct.spacing_mm + [[-MARGIN_MM], [MARGIN_MM]]
    steps = np.ceil(((last_mm - first_mm) / spacing + 1 - roi) / step)
    shape = roi + np.maximum(0, steps).astype(int) * step
    length_mm = (shape - 1) * spacing
    slack_mm = (np.array(ct.shape_kji) - 1) * ct.spacing_mm - length_mm
    centred_mm = (first_mm + last_mm - length_mm) / 2.0
    start_mm = np.clip(centred_mm, np.minimum(0.0, slack_mm), np.maximum(0.0, slack_mm))
    x, y, z = ct.lps_from_kji(start_mm / ct.spacing_mm)
    return Grid(
        shape_kji=(int(shape[0]), int(shape[1]), int(shape[2])),
        spacing_mm=spacing,
        origin_lps=(float(x), float(y), float(z)),
        directions=ct.directions,
    )


def _spans(mask: BoolArray) -> list[tuple[int, int]]:
    """First and last index along each axis of what is set; raises LungsNotFound if nothing is."""
    plane = np.logical_or.reduce(mask, axis=0)  # a twentieth of the time of ndimage.find_objects
    if not plane.any():
        raise LungsNotFound
    lines = [np.asarray(part.any(axis=axis)) for part, axis in ((mask, (1, 2)), (plane, 1), (plane, 0))]
    return [(int(line.argmax()), int(len(line) - 1 - line[::-1].argmax())) for line in lines]


def _source_box(ct: Grid, field: Grid) -> Box:
    """The part of the CT that the field needs, and a voxel more on each side."""
    corners = ct.kji_from_lps(field.lps_from_kji([(0, 0, 0), [count - 1 for count in field.shape_kji]]))
    starts = np.clip(np.floor(corners[0]).astype(int) - 1, 0, None)
    stops = np.minimum(np.ceil(corners[1]).astype(int) + 2, ct.shape_kji)
    k, j, i = (slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True))
    return k, j, i


def _nearest(mask: BoolArray, source: Grid, target: Grid) -> BoolArray:
    """The mask at the nearest voxel centres; false beyond the source. Both grids have the same directions."""
    first = source.kji_from_lps(target.origin_lps)
    ratios = np.divide(target.spacing_mm, source.spacing_mm)
    indices = [
        np.floor(a + r * np.arange(n) + 0.5).astype(int)
        for a, r, n in zip(first, ratios, target.shape_kji, strict=True)
    ]
    k, j, i = (np.clip(index, 0, count - 1) for index, count in zip(indices, source.shape_kji, strict=True))
    inside_k, inside_j, inside_i = (
        (index >= 0) & (index < count) for index, count in zip(indices, source.shape_kji, strict=True)
    )
    nearest: BoolArray = mask[np.ix_(k, j, i)] & inside_k[:, None, None] & inside_j[:, None] & inside_i
    return nearest
