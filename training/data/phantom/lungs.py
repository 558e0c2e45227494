"""What fills the lungs: vessels, airways with walls, and fissures, drawn into a chest. Called from `build`.

Airways: wall 0.12 + 0.20 r mm of -120 HU, lumen of -985 HU, drawn down to r = 1.25 mm; vessels down to 0.36 mm;
fissures 1.4 mm wide and 175 HU above the lung around them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.findings import Laterality
from inference.geometry import FloatArray
from training.data.phantom import mediastinum, trees
from training.data.phantom.anatomy import Chest, Layout
from training.data.phantom.fields import Field, blend, coverage, smooth_noise
from training.data.phantom.streams import stream
from training.data.phantom.tubes import Tubes, chain, joined, paint, splat

POINTS_PER_MM3 = 3.5e-3
SMALLEST_VESSEL_MM, THICK_MM, SMALLEST_AIRWAY_MM = 0.36, 0.9, 1.25
WALL_HU, OUTER_WALL_HU, LUMEN_HU, FISSURE_HU = -120.0, 20.0, -985.0, 175.0
NEAR_MM = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What was drawn.

    Parameters
    ----------
    vessels : pieces of arteries and veins
    airways : pieces of airways, inside the lungs
    blood : shape (k, j, i), share of each voxel that is vessel
    bronchi : shape (k, j, i), share of each voxel that is airway with its wall
    """

    vessels: Tubes
    airways: Tubes
    blood: Field
    bronchi: Field


def fill(chest: Chest, seed: int) -> Filling:
    """Grow and draw the trees and the fissures of all lungs of a chest, in place."""
    grown = [_lung(chest, side, seed) for side in chest.layout.sides]
    rng = stream(seed, "airways")
    vessels, airways = joined([pair[0] for pair in grown]), joined([pair[1] for pair in grown])
    large = joined([chain(points, radius) for points, radius in mediastinum.airways(chest.layout, rng)])
    _draw_fissures(chest, stream(seed, "fissures"))
    blood = _draw_vessels(chest, vessels)
    bronchi = _draw_airways(chest, large, airways)
    return Filling(vessels=vessels, airways=airways, blood=blood, bronchi=bronchi)


def _lung(chest: Chest, side: Laterality, seed: int) -> tuple[Tubes, Tubes]:
    """Vessels and airways of one lung."""
    rng = stream(seed, f"trees {side}")
    inner = _inside(chest, side)
    points = _points(inner, rng)
    roots = mediastinum.roots(chest.layout, side, float(inner.sum()), rng)
    airways = trees.grow(points, roots.airway, SMALLEST_AIRWAY_MM)
    jittered = points + rng.normal(0, 1, points.shape)
    away = np.array([0.9, -1.0, 0.0])  # up and to the front of the airway, in radii of the artery
    arteries = trees.beside(trees.grow(jittered, roots.artery, SMALLEST_VESSEL_MM), away)
    veins = trees.grow(_points(inner, rng), roots.vein, SMALLEST_VESSEL_MM)
    return joined([trees.bent(tree, rng) for tree in (arteries, veins)]), trees.bent(airways, rng)


def _inside(chest: Chest, side: Laterality) -> Field:
    """One lung without its outer 1.5 mm, shape (k, j, i), bool."""
    mask = chest.lung_mm < -1.5
    if len(chest.layout.sides) == 2:
        middle = chest.hu.shape[2] // 2
        mask[:, :, middle:] &= side is Laterality.LEFT
        mask[:, :, :middle] &= side is Laterality.RIGHT
    return np.asarray(mask)


def _points(inner: Field, rng: np.random.Generator) -> FloatArray:
    """Points spread evenly over the lung, shape (n, 3)."""
    voxels = np.flatnonzero(inner)
    count = max(int(len(voxels) * POINTS_PER_MM3), 16)
    chosen = np.stack(np.unravel_index(rng.choice(voxels, count, replace=False), inner.shape), axis=1)
    return chosen + rng.uniform(-0.5, 0.5, chosen.shape)


def _draw_vessels(chest: Chest, vessels: Tubes) -> Field:
    thick = vessels.radii_mm >= THICK_MM
    blood = np.zeros(chest.hu.shape, np.float32)
    splat(blood, vessels.where(~thick))
    np.clip(blood, 0, 1, out=blood)
    paint(blood, vessels.where(thick))
    lung = blood[chest.lung_box]
    lung *= coverage(chest.lung_mm[chest.lung_box] - 0.5)
    blend(chest.hu[chest.lung_box], lung, chest.layout.blood_hu)
    return blood


def _draw_airways(chest: Chest, large: Tubes, small: Tubes) -> Field:
    """Trachea and main bronchi wherever they run, the others in and near the lungs only."""
    outer, lumen = np.zeros(chest.hu.shape, np.float32), np.zeros(chest.hu.shape, np.float32)
    paint(outer, _with_wall(small))
    paint(lumen, small)
    outer[chest.lung_mm > NEAR_MM] = 0
    lumen[chest.lung_mm > NEAR_MM] = 0
    paint(outer, _with_wall(large))
    paint(lumen, large)
    at = np.nonzero(outer)
    inside, hu = coverage(chest.lung_mm[at]), chest.hu[at]
    blend(hu, outer[at], inside * WALL_HU + (1 - inside) * OUTER_WALL_HU)
    blend(hu, lumen[at], LUMEN_HU)
    chest.hu[at] = hu
    return outer


def _with_wall(airways: Tubes) -> Tubes:
    wall_mm = 0.12 + 0.20 * airways.radii_mm
    return Tubes(starts_kji=airways.starts_kji, ends_kji=airways.ends_kji, radii_mm=airways.radii_mm + wall_mm)


def _draw_fissures(chest: Chest, rng: np.random.Generator) -> None:
    """The oblique fissure of each lung and the horizontal one of the right lung, as wavy planes."""
    layout, hu, (x, y, z) = chest.layout, chest.hu[chest.lung_box], chest.lung_axes()
    wave = 4 * smooth_noise(rng, (z.size, y.size, x.size), 50)
    lung = coverage(chest.lung_mm[chest.lung_box])
    oblique = 0.62 * (z + 12 + rng.uniform(-8, 8)) - 0.78 * (y - 8) + 0.10 * np.abs(x) + wave
    hu += lung * _line(layout, oblique)
    if Laterality.RIGHT in layout.sides:
        horizontal = z - 8 - rng.uniform(-6, 10) - 0.12 * (y + 30) + wave
        hu += lung * _line(layout, horizontal) * (oblique > 0) * (x < 0)


def _line(layout: Layout, distance: Field) -> Field:
    """HU of a plane: a parabola 1.4 mm wide at half its height."""
    return np.asarray(FISSURE_HU * np.clip(1 - (layout.scale * distance) ** 2, 0, 1))
