"""Nodules: shapes put into the lung, drawn with the attenuation, edge and spicules that their readers described.

Attenuation by the readers' texture: 4-5 solid (-10..55 HU), between 2 and 4 part-solid (rim -650..-480, core -60..30),
1-2 non-solid (-720..-520, vessels run through); calcified 200-700. Edge: logistic, 1.6 to 0.4 mm wide for margin 1
(poorly defined) to 5 (sharp). Half of them lie free, a quarter at a vessel, a quarter at the pleura. Used by `build`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from inference.findings import Attenuation
from inference.geometry import FloatArray, Shape
from training.data.phantom.anatomy import Chest
from training.data.phantom.fields import Field, coverage, smooth_noise
from training.data.phantom.lidc_shapes import VOXEL_MM, NoduleShape
from training.data.phantom.lungs import Filling
from training.data.phantom.model import Placement, Profile
from training.data.phantom.tubes import Tubes, paint

MARGIN_MM = 9  # room around a shape for its soft edge and its spicules
SCALES = (0.92, 1.08)  # little enough to keep the readers' ratings
APART_MM = 8.0
TRIES = 2000
EDGE_MM = (1.6, 1.2, 0.9, 0.6, 0.4)
# Readers outline a nodule just outside its edge: in 518 solid nodules of LUNA16 the HU pass -400, half-way from lung to
# soft tissue, 0.5 mm inside the 50 % consensus. The truth is the outline, so the tissue has to end inside it.
INSET_MM = 0.55
CALCIFIED_BELOW = 5.5  # mean of the readers' calcification, where 6 = none
SPICULATED_FROM = 3.0
HU_RANGE = {
    Attenuation.SOLID: (-10.0, 55.0),
    Attenuation.PART_SOLID: (-650.0, -480.0),
    Attenuation.NON_SOLID: (-720.0, -520.0),
    Attenuation.CALCIFIED: (200.0, 700.0),
}
CORE_HU, CORE_DEPTH = (-60.0, 30.0), (0.3, 0.55)
GRAIN_HU = {
    Attenuation.SOLID: 15.0,
    Attenuation.PART_SOLID: 25.0,
    Attenuation.NON_SOLID: 45.0,
    Attenuation.CALCIFIED: 40.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnNodule:
    """A nodule in the 1 mm volume.

    Parameters
    ----------
    shape : the LIDC shape
    attenuation, placement : what it is and where
    start_kji : index of the first voxel of its box
    sdf_mm : shape (k, j, i) of the box, signed distance to its surface, cut at the pleura, negative inside
    """

    shape: NoduleShape
    attenuation: Attenuation
    placement: Placement
    start_kji: Shape
    sdf_mm: Field

    @property
    def volume_mm3(self) -> float:
        """Volume inside the surface."""
        return float(coverage(self.sdf_mm).sum())

    @property
    def diameter_mm(self) -> float:
        """Diameter of the sphere of that volume."""
        return float((6 * self.volume_mm3 / np.pi) ** (1 / 3))

    @property
    def centre_kji(self) -> FloatArray:
        """Centre of mass, as an index into the volume."""
        return np.array(ndimage.center_of_mass(coverage(self.sdf_mm))) + self.start_kji


def choose(shapes: tuple[NoduleShape, ...], profile: Profile, rng: np.random.Generator) -> list[NoduleShape]:
    """Shapes for one phantom, of sizes spread evenly over the logarithm of the diameter, the first at least 6 mm."""
    low, high = profile.diameters_mm
    count = rng.integers(profile.nodules[0], profile.nodules[1] + 1)
    wanted_mm = np.exp(rng.uniform(np.log(low), np.log(high), count))
    wanted_mm[0] = max(wanted_mm[0], min(8.0, high))
    sizes = np.array([shape.diameter_mm for shape in shapes])
    usable = np.flatnonzero((sizes * SCALES[0] >= low) & (sizes * SCALES[1] <= high))
    chosen: list[NoduleShape] = []
    for size in wanted_mm:
        nearest = usable[np.argsort(np.abs(np.log(sizes[usable] / size)))][:25]
        chosen.append(shapes[int(rng.choice(nearest))])
    return chosen


def attenuation_of(shape: NoduleShape) -> Attenuation:
    """What the readers said about texture and calcification, as a type."""
    if shape.ratings["calcification"] < CALCIFIED_BELOW:
        return Attenuation.CALCIFIED
    if shape.ratings["texture"] <= 2:
        return Attenuation.NON_SOLID
    return Attenuation.SOLID if shape.ratings["texture"] >= 4 else Attenuation.PART_SOLID


def add(
    chest: Chest, filling: Filling, shape: NoduleShape, others: list[DrawnNodule], rng: np.random.Generator
) -> DrawnNodule | None:
    """Find a place for a shape and draw it into `chest.hu`, in place; None if the lung has no room for it."""
    kinds = (Placement.ISOLATED, Placement.VASCULAR, Placement.JUXTAPLEURAL)
    placement = kinds[rng.choice(3, p=[0.5, 0.25, 0.25])]
    sdf = _turned(shape, rng)
    centre = _place(chest, filling, placement, shape, others, rng)
    if centre is None:
        return None
    start = centre - np.array(sdf.shape) // 2
    low, high = np.maximum(start, 0), np.minimum(start + sdf.shape, chest.hu.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    local = sdf[tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))]
    drawn = DrawnNodule(
        shape=shape,
        attenuation=attenuation_of(shape),
        placement=placement,
        start_kji=(int(low[0]), int(low[1]), int(low[2])),
        sdf_mm=np.maximum(local, chest.lung_mm[box]),
    )
    _draw(chest.hu[box], local, chest.lung_mm[box], drawn, rng)
    return drawn


def _turned(shape: NoduleShape, rng: np.random.Generator) -> Field:
    """Signed distance to the shape in 1 mm voxels, turned to one of the 48 orientations of a cube, with a margin."""
    scale = rng.uniform(*SCALES)
    voxels = np.transpose(shape.voxels, rng.permutation(3))
    voxels = np.flip(voxels, tuple(np.flatnonzero(rng.random(3) < 0.5)))
    voxels = np.pad(voxels, int(np.ceil(MARGIN_MM / VOXEL_MM)))
    distance = ndimage.distance_transform_edt(~voxels) - ndimage.distance_transform_edt(voxels)
    distance = ndimage.gaussian_filter(distance - np.sign(distance) * 0.5, 0.7) * VOXEL_MM * scale
    size = [int(n * VOXEL_MM * scale) for n in voxels.shape]
    at = np.ix_(*[np.arange(n) / (VOXEL_MM * scale) for n in size])
    return np.asarray(ndimage.map_coordinates(distance, np.broadcast_arrays(*at), order=1, mode="nearest"), np.float32)


def _place(
    chest: Chest,
    filling: Filling,
    placement: Placement,
    shape: NoduleShape,
    others: list[DrawnNodule],
    rng: np.random.Generator,
) -> FloatArray | None:
    """Voxel for the centre of a shape."""
    radius = shape.diameter_mm / 2
    for trial in _proposals(chest, filling, placement, radius, rng):
        apart = all(
            np.linalg.norm(trial - other.centre_kji) > radius + other.diameter_mm / 2 + APART_MM for other in others
        )
        if apart and _is_free(filling, trial, radius) and _is_wanted(shape, trial, chest, rng):
            return np.asarray(trial)
    return None


def _proposals(
    chest: Chest, filling: Filling, placement: Placement, radius_mm: float, rng: np.random.Generator
) -> FloatArray:
    """Random voxels that suit the placement, shape (n, 3), int."""
    if placement is Placement.VASCULAR:
        vessels = filling.vessels
        suited = np.flatnonzero((vessels.radii_mm > 0.8) & (vessels.radii_mm < 2.2))
        points = vessels.ends_kji[rng.choice(suited, TRIES)] + rng.normal(0, 0.5 * radius_mm, (TRIES, 3))
        points = np.clip(np.round(points).astype(int), 0, np.array(chest.hu.shape) - 1)
        return np.asarray(points[chest.lung_mm[tuple(points.T)] < -radius_mm - 2])
    wanted = (-1e3, -radius_mm - 3) if placement is Placement.ISOLATED else (-0.85 * radius_mm, -0.45 * radius_mm)
    suited = np.flatnonzero((chest.lung_mm > wanted[0]) & (chest.lung_mm < wanted[1]))
    if not len(suited):
        return np.empty((0, 3), int)
    return np.stack(np.unravel_index(rng.choice(suited, TRIES), chest.hu.shape), axis=1)


def _is_free(filling: Filling, centre: FloatArray, radius_mm: float) -> bool:
    """Whether no airway, and little vessel, lies where the nodule would be."""
    reach = int(np.ceil(radius_mm))
    box = tuple(slice(max(at - reach, 0), at + reach + 1) for at in centre)
    return bool(filling.bronchi[box].max(initial=0) < 0.5 and filling.blood[box].mean() < 0.3)


def _is_wanted(shape: NoduleShape, centre: FloatArray, chest: Chest, rng: np.random.Generator) -> bool:
    """Malignant nodules favour the upper half of the lung by 1.5 to 1."""
    upper = centre[0] > chest.hu.shape[0] / 2
    return bool(upper or shape.ratings["malignancy"] < 4 or rng.random() < 1 / 1.5)


def _draw(hu: Field, sdf_mm: Field, lung_mm: Field, nodule: DrawnNodule, rng: np.random.Generator) -> None:
    """Draw one nodule into the box `hu`, in place."""
    width = np.interp(nodule.shape.ratings["margin"], np.arange(1, 6), EDGE_MM)
    share = 1 / (1 + np.exp(np.clip((sdf_mm + INSET_MM) / (0.55 * width), -30, 30)))
    if nodule.shape.ratings["spiculation"] >= SPICULATED_FROM and nodule.attenuation is not Attenuation.CALCIFIED:
        paint(share, _spicules(sdf_mm, rng))
    share = share * coverage(lung_mm - 0.5)
    inner = _inner_hu(sdf_mm, nodule.attenuation, rng)
    np.maximum(hu, hu + share * (inner - hu), out=hu)


def _inner_hu(sdf_mm: Field, attenuation: Attenuation, rng: np.random.Generator) -> Field:
    grain = GRAIN_HU[attenuation] * smooth_noise(rng, (sdf_mm.shape[0], sdf_mm.shape[1], sdf_mm.shape[2]), 3)
    inner = rng.uniform(*HU_RANGE[attenuation]) + grain
    if attenuation is Attenuation.PART_SOLID:
        depth = rng.uniform(*CORE_DEPTH) * -float(sdf_mm.min())
        core = 1 / (1 + np.exp(np.clip((sdf_mm + depth) / 0.5, -30, 30)))
        inner = inner + core * (rng.uniform(*CORE_HU) - inner)
    return np.asarray(inner, np.float32)


def _spicules(sdf_mm: Field, rng: np.random.Generator) -> Tubes:
    """5-14 rays of 2.5-8 mm from the surface outwards, 0.75 mm thick at the root and 0.3 mm at the tip."""
    count = int(rng.integers(5, 15))
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    middle = np.array(ndimage.center_of_mass(sdf_mm < 0))
    reach = np.cbrt(3 * (sdf_mm < 0).sum() / (4 * np.pi))
    length = rng.uniform(2.5, 8, (count, 1))
    cuts = np.linspace(0, 1, 5)
    starts = [middle + directions * (0.8 * reach + length * cut) for cut in cuts[:-1]]
    ends = [middle + directions * (0.8 * reach + length * cut) for cut in cuts[1:]]
    radii = np.repeat(0.75 + (0.3 - 0.75) * cuts[:-1], count)
    return Tubes(starts_kji=np.concatenate(starts), ends_kji=np.concatenate(ends), radii_mm=radii)
