"""Great vessels, oesophagus and the large airways outside the lungs; and where the trees of the lungs begin.

Courses and radii are those of a typical adult; trachea of 8-9.5 mm radius; hilar arteries of 6.4-7.4 mm and veins of
5.8-6.8 mm radius for a lung of 2.2 l. Called from `build`; the roots are used by `trees`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.findings import Laterality
from inference.geometry import FloatArray, Point
from training.data.phantom.anatomy import Chest, Layout
from training.data.phantom.fields import blend, coverage
from training.data.phantom.tubes import chain, paint

CARINA_XYZ = (0.0, 12.0, 34.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """Where a tree enters a lung: position (voxel index), direction (unit vector k, j, i) and radius in mm."""

    position_kji: FloatArray
    direction_kji: FloatArray
    radius_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """The three trees of one lung."""

    side: Laterality
    airway: Root
    artery: Root
    vein: Root


def roots(layout: Layout, side: Laterality, lung_mm3: float, rng: np.random.Generator) -> Roots:
    """Roots of the trees of one lung; radii follow the third root of what they supply (Murray's law)."""
    size = (lung_mm3 / 2.2e6) ** (1 / 3)
    sign = -1 if side is Laterality.RIGHT else 1

    def root(x: float, y: float, z: float, radius: tuple[float, float]) -> Root:
        direction = np.array([-0.15, 0.1, float(sign)])
        return Root(
            position_kji=layout.kji((layout.middle_mm + sign * x, y, z)),
            direction_kji=direction / np.linalg.norm(direction),
            radius_mm=rng.uniform(*radius) * size,
        )

    return Roots(
        side=side,
        airway=root(30, 10, 14, (5.4, 6.2)),
        artery=root(31, -1, 22, (6.4, 7.4)),
        vein=root(29, -2, -8, (5.8, 6.8)),
    )


def draw(chest: Chest, rng: np.random.Generator) -> None:
    """Draw the great vessels and the oesophagus into `chest.hu`, in place."""
    layout = chest.layout
    size = rng.uniform(0.92, 1.08)
    share = np.zeros(layout.shape_kji, np.float32)
    for points, radius in _vessels(layout):
        paint(share, chain(_kji(layout, points), radius * size * layout.scale))
    outside_lung = 1 - coverage(chest.lung_mm)
    blend(chest.hu, share * outside_lung, layout.blood_hu)
    gullet = np.zeros(layout.shape_kji, np.float32)
    paint(gullet, chain(_kji(layout, [(3, 30, 160), (4, 30, 30), (8, 28, -110)]), 7 * layout.scale))
    blend(chest.hu, gullet * outside_lung, 40.0)


def _vessels(layout: Layout) -> list[tuple[list[Point], float]]:
    back = layout.spine_y_mm - 14
    return [
        (
            [(-8, -18, -22), (-14, -26, 10), (-12, -24, 40), (-4, -15, 58), (10, 2, 64), (22, 22, 58), (26, back, 44)],
            13.5,
        ),
        ([(26, back, 44), (26, back, -160)], 12.0),
        ([(14, -40, -15), (14, -30, 15), (14, -18, 26)], 12.5),
        ([(14, -18, 26), (-8, -6, 22), (-31, -1, 22)], 9.0),
        ([(14, -18, 26), (31, -1, 22)], 9.0),
        ([(-24, -14, 92), (-25, -12, 40), (-22, -8, -10)], 9.0),
        ([(-24, -14, 92), (0, -28, 84), (26, -26, 100), (32, -20, 160)], 6.0),
        ([(-24, -14, 92), (-34, -16, 160)], 6.5),
        ([(-6, -14, 62), (-14, -8, 100), (-20, -4, 160)], 5.0),
        ([(6, -4, 66), (10, -4, 160)], 3.8),
        ([(18, 12, 64), (24, 6, 100), (30, 4, 160)], 4.5),
        ([(-29, -2, -8), (-10, 6, -16)], 7.5),
        ([(29, -2, -8), (10, 6, -16)], 7.5),
        ([(-8, back - 2, 40), (-8, back - 2, -150)], 3.5),
    ]


def airways(layout: Layout, rng: np.random.Generator) -> list[tuple[FloatArray, float]]:
    """Trachea and main bronchi: chains of voxel indices with their radius in mm."""
    trachea = rng.uniform(8.0, 9.5)
    courses: list[tuple[list[Point], float]] = [([(1, 4, 165), (1, 6, 90), CARINA_XYZ], trachea)]
    if Laterality.RIGHT in layout.sides:
        courses.append(([CARINA_XYZ, (-16, 12, 24), (-30, 10, 14)], 6.6))
    if Laterality.LEFT in layout.sides:
        courses.append(([CARINA_XYZ, (18, 13, 24), (30, 10, 14)], 5.9))
    return [(_kji(layout, points), radius * layout.scale) for points, radius in courses]


def _kji(layout: Layout, points_xyz: list[Point]) -> FloatArray:
    """Voxel indices of points given relative to the mediastinum."""
    return layout.kji(np.array(points_xyz) + [layout.middle_mm, 0, 0])
