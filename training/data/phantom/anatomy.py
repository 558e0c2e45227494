"""The chest without its trees: body, chest wall, mediastinum, diaphragm and the two lungs, drawn from signed distances.

All shapes are written in millimetres of an adult chest, x to the left, y to the back, z to the head, origin in the
middle (LPS); a smaller profile shrinks them. Sizes are those of a typical adult CT (half-axes of the body 138-146 x
100-112 mm, lungs of 3-7 l, parenchyma of -880 to -840 HU, 0.25-0.55 HU/mm more towards the back). Called from `build`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from inference.findings import Laterality
from inference.geometry import FloatArray, Shape
from training.data.phantom.fields import Field, blend, coverage, refined, smooth_noise
from training.data.phantom.model import Profile

ADULT_MM = 300.0
Box = tuple[slice, slice, slice]
COARSE = 2  # distances are smooth: they are computed at every second voxel

AIR_HU, SKIN_HU, COUCH_HU, PARENCHYMA_HU = -1000.0, 10.0, -250.0, (-880.0, -840.0)
GRADIENT_HU_PER_MM = (0.25, 0.55)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Measures of one chest, in adult mm and HU, and where its parts are.

    Parameters
    ----------
    shape_kji, scale : voxels of 1 mm; mm of this chest per adult mm
    sides : lungs that are drawn
    body_mm, cage_mm, cage_y_mm : half-axes (x, y) of skin and inner chest wall, and how far the cage lies to the back
    middle_mm : x of the mediastinum; beside the midline if there is only one lung
    apex_mm, waist_mm : z of the apex, and z below which the cage no longer narrows
    fat_mm, muscle_mm : thickness of fat and of the muscles of the chest wall
    spine_y_mm : y of the middle of the vertebral bodies
    blood_hu, fat_hu, muscle_hu, parenchyma_hu, gradient_hu_per_mm : attenuation
    """

    shape_kji: Shape
    scale: float
    sides: tuple[Laterality, ...]
    body_mm: tuple[float, float]
    cage_mm: tuple[float, float]
    cage_y_mm: float
    middle_mm: float
    apex_mm: float
    waist_mm: float
    fat_mm: float
    muscle_mm: float
    spine_y_mm: float
    blood_hu: float
    fat_hu: float
    muscle_hu: float
    parenchyma_hu: float
    gradient_hu_per_mm: float

    def kji(self, points_xyz: object) -> FloatArray:
        """Voxel indices of points in adult mm; shape (..., 3) to (..., 3)."""
        middle = (np.array(self.shape_kji) - 1) / 2
        return np.asarray(points_xyz, float)[..., ::-1] * self.scale + middle

    def axes(self, step: int = 1) -> tuple[Field, Field, Field]:
        """Open grids of x, y, z in adult mm of every `step`-th voxel; shapes (1, 1, i), (1, j, 1), (k, 1, 1)."""
        size = self.shape_kji[0]
        line = ((np.arange(0, size + step - 1, step) - (size - 1) / 2) / self.scale).astype(np.float32)
        return line[None, None, :], line[None, :, None], line[:, None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chest:
    """The drawn chest.

    Parameters
    ----------
    layout : its measures
    hu : shape (k, j, i), float32, HU at 1 mm; later stages draw into it
    lung_mm : signed distance to the lung surface, negative inside
    cage_mm : signed distance to the inner chest wall
    lung_box : the part of the volume that holds the lungs
    """

    layout: Layout
    hu: Field
    lung_mm: Field
    cage_mm: Field
    lung_box: Box

    def lung_axes(self) -> tuple[Field, Field, Field]:
        """x, y, z in adult mm of the voxels of `lung_box`, as open grids."""
        x, y, z = self.layout.axes()
        k, j, i = self.lung_box
        return x[..., i], y[:, j], z[k]


def lay_out(profile: Profile, rng: np.random.Generator) -> Layout:
    """Draw the measures of a chest."""
    fat, muscle = rng.uniform(4, 14), rng.uniform(11, 15)
    body = (rng.uniform(138, 146), rng.uniform(100, 112))
    if len(profile.sides) == 1:  # a rounder chest, whose wall is still as thick as a real one after shrinking
        fat, muscle, body = fat + 10, muscle + 10, (148.0, 142.0)
    contrast = rng.random() < 0.3  # share of LIDC scans with contrast
    return Layout(
        shape_kji=(profile.extent_mm,) * 3,
        scale=profile.extent_mm / ADULT_MM,
        sides=profile.sides,
        body_mm=body,
        cage_mm=(body[0] - fat - muscle - 1, body[1] - 0.7 * fat - muscle - 10),
        cage_y_mm=-4.0,
        middle_mm=0.0 if len(profile.sides) == 2 else 45.0,
        apex_mm=rng.uniform(122, 132),
        waist_mm=-30.0,
        fat_mm=fat,
        muscle_mm=muscle,
        spine_y_mm=body[1] - rng.uniform(54, 60),
        blood_hu=rng.uniform(150, 280) if contrast else rng.uniform(35, 50),
        fat_hu=rng.uniform(-115, -95),
        muscle_hu=rng.uniform(42, 58),
        parenchyma_hu=rng.uniform(*PARENCHYMA_HU),
        gradient_hu_per_mm=rng.uniform(*GRADIENT_HU_PER_MM),
    )


def draw(layout: Layout, rng: np.random.Generator) -> Chest:
    """Draw body, chest wall, mediastinum, abdomen and lungs (without vessels, airways and bones)."""
    coarse = layout.axes(COARSE)
    shape = (coarse[2].size, coarse[1].size, coarse[0].size)
    warp = 2.5 * smooth_noise(rng, shape, 30)
    cage = _cage(layout, coarse) + 0.5 * warp + 0.8 * smooth_noise(rng, shape, 9)
    floor = _below_diaphragm(layout, coarse) + warp
    lung = np.minimum.reduce([_lung(layout, side, cage, floor, coarse) for side in layout.sides])
    lung = np.maximum(lung + 0.5 * warp, cage)
    parts = (lung, cage, floor, _heart(layout, coarse))
    lung, cage, floor, heart_mm = (refined(layout.scale * part, COARSE, layout.shape_kji) for part in parts)
    hu = _wall(layout, cage, rng)
    chest = Chest(
        layout=layout, hu=hu, lung_mm=lung, cage_mm=cage, lung_box=ndimage.find_objects((lung < 1).astype(np.uint8))[0]
    )
    _draw_inside(chest, floor, rng)
    blend(hu, coverage(heart_mm), 0.5 * (layout.blood_hu + 45))
    blend(hu[chest.lung_box], coverage(lung[chest.lung_box]), _parenchyma(chest, rng))
    return chest


def _parenchyma(chest: Chest, rng: np.random.Generator) -> Field:
    """HU between the vessels: a gradient to the back, two textures, sometimes emphysema or dependent lung."""
    layout, (x, y, z) = chest.layout, chest.lung_axes()
    shape = (z.size, y.size, x.size)
    emphysema, dependent = rng.random() < 0.2, rng.random() < 0.35
    texture = 12 * smooth_noise(rng, shape, 30) + 14 * smooth_noise(rng, shape, 5)
    hu = layout.parenchyma_hu + layout.gradient_hu_per_mm * (y - 10) + texture
    if emphysema:
        blend(hu, np.clip(smooth_noise(rng, shape, 9) - 0.6 - np.clip(-z / 60, 0, 3), 0, 1), -965.0)
    if dependent:
        near = np.clip(1 + chest.lung_mm[chest.lung_box] / 6, 0, 1) * np.clip((y - 55) / 15, 0, 1)
        hu += near * np.float32(rng.uniform(80, 250))
    return np.asarray(hu, np.float32)


def _wall(layout: Layout, cage_mm: Field, rng: np.random.Generator) -> Field:
    """Air, skin, fat and muscle around the cage."""
    x, y, _ = layout.axes()
    body = _superellipse(x, y, layout.body_mm, 2.4) * layout.scale
    hu = np.full(layout.shape_kji, AIR_HU, np.float32)
    blend(hu, _couch(layout), COUCH_HU)
    blend(hu, coverage(body), SKIN_HU)
    blend(hu, coverage(body + 2), layout.fat_hu + 6 * smooth_noise(rng, layout.shape_kji, 6))
    grain = smooth_noise(rng, layout.shape_kji, 8)
    back = np.minimum(
        _ellipse(x - 30, y - layout.spine_y_mm - 34, 26, 16), _ellipse(x + 30, y - layout.spine_y_mm - 34, 26, 16)
    )
    muscle = np.minimum(cage_mm - layout.scale * layout.muscle_mm, layout.scale * back)
    muscle = np.maximum(muscle, body + layout.scale * 0.6 * layout.fat_mm)
    blend(hu, coverage(muscle), layout.muscle_hu - 90 * np.clip(grain - 0.9, 0, 1) + 4 * grain)
    return hu


def _couch(layout: Layout) -> Field:
    """Share of each voxel in the two skins of the couch below the back; shape (1, j, i)."""
    x, y, _ = layout.axes()
    depth = layout.scale * (y - layout.body_mm[1] - 4 + 0.0012 * x**2)
    skins = np.minimum(np.abs(depth - 1), np.abs(depth - 22)) - 0.8
    return coverage(np.maximum(skins, layout.scale * (np.abs(x) - 140)))


def _draw_inside(chest: Chest, floor_mm: Field, rng: np.random.Generator) -> None:
    """Fat of the mediastinum, organs below the diaphragm."""
    layout, hu = chest.layout, chest.hu
    x, _, _ = layout.axes()
    inside = coverage(chest.cage_mm + 2)
    grain = smooth_noise(rng, layout.shape_kji, 12)
    blend(hu, inside, layout.fat_hu + 130 * np.clip(grain - 0.7, 0, 1))
    left = 1 / (1 + np.exp(-x / 6))
    organs = 57 - left * (12 + 140 * np.clip(grain - 1.2, 0, 1))
    blend(hu, inside * coverage(2 - floor_mm), np.asarray(organs, np.float32))


def _heart(layout: Layout, axes: tuple[Field, Field, Field]) -> Field:
    """Signed distance to the heart, adult mm."""
    x, y, z = axes[0] - layout.middle_mm, axes[1], axes[2]
    return np.minimum(
        _ellipsoid((x - 22 + 0.25 * (z + 50), y + 22, z + 48), (48, 42, 48)),  # ventricles, tip to the left and down
        _ellipsoid((x, y - 8, z + 18), (32, 17, 20)),  # left atrium
    )


def _cage(layout: Layout, axes: tuple[Field, Field, Field]) -> Field:
    """Signed distance to the inner chest wall: a superellipse that closes to a dome above the waist."""
    x, y, z = axes
    a, b = layout.cage_mm
    y = y - layout.cage_y_mm
    up = np.maximum(z - layout.waist_mm, 0)
    flat = ((np.abs(x) / a) ** 2.4 + (np.abs(y) / b) ** 2.4) ** (2.6 / 2.4)
    size = (flat + (up / (layout.apex_mm - layout.waist_mm)) ** 2.6) ** (1 / 2.6)
    return _radial(size, np.sqrt(x**2 + y**2 + up**2))


def _lung(layout: Layout, side: Laterality, cage: Field, floor: Field, axes: tuple[Field, Field, Field]) -> Field:
    """Signed distance to one lung: what of the cage is beside the mediastinum and above the diaphragm."""
    x, y, z = axes
    outwards = layout.middle_mm - x if side is Laterality.RIGHT else x - layout.middle_mm
    half = 8 + 20 * np.exp(-(((y + 4) / 36) ** 2)) + 8 / (1 + np.exp(-(z - 60) / 15))
    if side is Laterality.LEFT:
        half = half + 12 * np.exp(-(((y - layout.spine_y_mm + 18) / 14) ** 2))  # behind the descending aorta
    spine = 25 - np.sqrt(x**2 + (y - layout.spine_y_mm) ** 2)
    vessel = 17 - np.sqrt((x - 26) ** 2 + (y - layout.spine_y_mm + 14) ** 2) if side is Laterality.LEFT else spine
    beside = _rounded(_rounded(half - outwards, np.maximum(spine, vessel)), 4 - _heart(layout, axes))
    return _rounded(_rounded(cage, beside), floor)


def _below_diaphragm(layout: Layout, axes: tuple[Field, Field, Field]) -> Field:
    """Height above which lung may be, minus z: positive below the diaphragm, adult mm."""
    x, y, z = axes
    side = 62 - 0.9 * layout.middle_mm  # of the top of the dome
    dome = 34 * np.exp(-(((np.abs(x) - side) / 48) ** 2) / 2 - ((y + 8) / 52) ** 2 / 2)
    gutter = 22 * np.clip((y - 5) / 60, 0, 1) ** 2 + 14 * np.clip((np.abs(x) - side) / 50, 0, 1) ** 2
    surface = -106 + dome - gutter + 10 / (1 + np.exp(x / 12))
    return np.asarray(0.85 * (surface - z), np.float32)


def _rounded(a: Field, b: Field, width: float = 8) -> Field:
    """Larger of two distances with a rounded seam."""
    return np.asarray(0.5 * (a + b + np.sqrt((a - b) ** 2 + width**2)) - width / 4, np.float32)


def _radial(size: Field, distance: Field) -> Field:
    """Distance to a star-shaped surface along the ray from its centre; `size` is 1 on the surface."""
    return np.asarray(distance * (1 - 1 / np.maximum(size, 1e-3)), np.float32)


def _superellipse(x: Field, y: Field, axes_mm: tuple[float, float], power: float) -> Field:
    size = ((np.abs(x) / axes_mm[0]) ** power + (np.abs(y) / axes_mm[1]) ** power) ** (1 / power)
    return _radial(size, np.sqrt(x**2 + y**2))


def _ellipse(x: Field, y: Field, a: float, b: float) -> Field:
    return _superellipse(x, y, (a, b), 2)


def _ellipsoid(offset: tuple[Field, Field, Field], half_axes: tuple[float, float, float]) -> Field:
    size = np.sqrt(sum((part / axis) ** 2 for part, axis in zip(offset, half_axes, strict=True)))
    return _radial(size, np.sqrt(sum(part**2 for part in offset)))
