"""Tubes on a cube of 1 mm voxels: thick ones as capsules with soft edges, thin ones as mass spread over voxels.

Used by the trees, the mediastinum, the skeleton and the spicules of nodules. Positions are voxel indices (k, j, i).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.geometry import FloatArray
from training.data.phantom.fields import Field

STEP_MM = 0.5
WIDE_MM = 0.5  # a wider tube has more than a voxel of volume per mm and is spread over its cross-section


@dataclass(frozen=True, slots=True, kw_only=True)
class Tubes:
    """Straight pieces of tube.

    Parameters
    ----------
    starts_kji, ends_kji : shape (n, 3), voxel indices
    radii_mm : shape (n,)
    """

    starts_kji: FloatArray
    ends_kji: FloatArray
    radii_mm: FloatArray

    def __len__(self) -> int:
        return len(self.radii_mm)

    def where(self, chosen: NDArray[np.bool_]) -> Tubes:
        """Those pieces for which `chosen`, shape (n,), is true."""
        return Tubes(starts_kji=self.starts_kji[chosen], ends_kji=self.ends_kji[chosen], radii_mm=self.radii_mm[chosen])


def chain(points_kji: object, radius_mm: float) -> Tubes:
    """A bent tube through points, shape (n, 3)."""
    points = np.asarray(points_kji, float)
    return Tubes(starts_kji=points[:-1], ends_kji=points[1:], radii_mm=np.full(len(points) - 1, radius_mm))


def joined(parts: list[Tubes]) -> Tubes:
    """Several sets of tubes as one."""
    return Tubes(
        starts_kji=np.concatenate([part.starts_kji for part in parts]),
        ends_kji=np.concatenate([part.ends_kji for part in parts]),
        radii_mm=np.concatenate([part.radii_mm for part in parts]),
    )


def paint(field: Field, tubes: Tubes, grow_mm: float = 0.0) -> None:
    """Raise `field` to the share of each voxel that the tubes cover, in place.

    Parameters
    ----------
    field : shape (k, j, i), 0..1
    tubes : what lies outside the field is cut off
    grow_mm : added to all radii
    """
    for start, end, radius in zip(tubes.starts_kji, tubes.ends_kji, tubes.radii_mm + grow_mm, strict=True):
        low = np.maximum(np.floor(np.minimum(start, end) - radius - 1).astype(int), 0)
        high = np.minimum(np.ceil(np.maximum(start, end) + radius + 2).astype(int), field.shape)
        if (low < high).all():
            box = field[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
            np.maximum(box, np.clip(0.5 + radius - _distance(box.shape, start - low, end - low), 0, 1), out=box)


def _distance(shape: tuple[int, ...], start: FloatArray, end: FloatArray) -> Field:
    k, j, i = (axis - at for axis, at in zip(np.ogrid[tuple(slice(n) for n in shape)], start, strict=True))
    step = end - start
    along = np.clip((k * step[0] + j * step[1] + i * step[2]) / max(float(step @ step), 1e-6), 0, 1)
    squared = (k - along * step[0]) ** 2 + (j - along * step[1]) ** 2 + (i - along * step[2]) ** 2
    return np.asarray(np.sqrt(squared), np.float32)


def splat(field: Field, tubes: Tubes) -> None:
    """Add the volume of thin tubes to the voxels around them, in place: none is lost however thin they are.

    Parameters
    ----------
    field : shape (k, j, i), mm3 of tube per 1 mm3 voxel
    tubes : cut into points half a voxel apart, each point shared by its eight voxels (trilinear)
    """
    wide = tubes.radii_mm > WIDE_MM
    strands = [tubes.where(~wide), *_strands(tubes.where(wide))]
    parts = [_points(strand) for strand in strands if len(strand)]
    if parts:
        _spread(field, np.concatenate([points for points, _ in parts]), np.concatenate([mm3 for _, mm3 in parts]))


def _strands(tubes: Tubes) -> list[Tubes]:
    """Four parallel tubes of half the radius: together they have the cross-section of the one."""
    along = tubes.ends_kji - tubes.starts_kji
    across = np.cross(along, np.where(np.abs(along[:, :1]) > np.abs(along[:, 1:2]), [0.0, 1, 0], [1.0, 0, 0]))
    across *= (0.7 * tubes.radii_mm / np.maximum(np.linalg.norm(across, axis=1), 1e-6))[:, None]
    third = np.cross(along, across) / np.maximum(np.linalg.norm(along, axis=1), 1e-6)[:, None]
    return [
        Tubes(starts_kji=tubes.starts_kji + off, ends_kji=tubes.ends_kji + off, radii_mm=tubes.radii_mm / 2)
        for off in (across, -across, third, -third)
    ]


def _points(tubes: Tubes) -> tuple[FloatArray, FloatArray]:
    lengths = np.linalg.norm(tubes.ends_kji - tubes.starts_kji, axis=1)
    counts = np.maximum(np.ceil(lengths / STEP_MM).astype(int), 1)
    owner = np.repeat(np.arange(len(tubes)), counts)
    order = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    along = ((order + 0.5) / counts[owner])[:, None]
    points = tubes.starts_kji[owner] * (1 - along) + tubes.ends_kji[owner] * along
    return points, (np.pi * tubes.radii_mm**2 * lengths / counts)[owner]


def _spread(field: Field, points: FloatArray, volumes: FloatArray) -> None:
    inside = ((points >= 0) & (points < np.array(field.shape) - 1)).all(axis=1)
    points, volumes = points[inside], volumes[inside]
    low = points.astype(int)
    part = points - low
    places, shares = [], []
    for corner in np.ndindex(2, 2, 2):
        at = low + corner
        places.append(np.ravel_multi_index((at[:, 0], at[:, 1], at[:, 2]), field.shape))
        shares.append(volumes * np.abs(1 - np.array(corner) - part).prod(axis=1))
    total = np.bincount(np.concatenate(places), np.concatenate(shares), minlength=field.size)
    field += total.reshape(field.shape).astype(np.float32)
