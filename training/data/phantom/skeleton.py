"""Ribs, spine, sternum and shoulder blades, drawn over the soft tissue of a chest.

Attenuation in HU: cortex 620, core of ribs 190, vertebral bodies 130-220 with a 450 shell, discs 85, canal 30, sternum
180; ribs of 4.2-5.2 mm radius, a vertebra every 24 mm (typical adult CT). Called from `build`.
"""

from __future__ import annotations

import numpy as np

from inference.geometry import FloatArray
from training.data.phantom.anatomy import Chest, Layout
from training.data.phantom.fields import blend, coverage
from training.data.phantom.tubes import Tubes, chain, joined, paint

CORTEX_HU, CORE_HU, SHELL_HU, DISC_HU, CANAL_HU, STERNUM_HU = 620.0, 190.0, 450.0, 85.0, 30.0, 180.0
CORTEX_MM = 1.4
PERIOD_MM = 24.0
RIBS = 11


def draw(chest: Chest, rng: np.random.Generator) -> None:
    """Draw all bones into `chest.hu`, in place."""
    _draw_spine(chest, rng)
    scale = chest.layout.scale
    for tubes in [*_ribs(chest.layout, rng), *_shoulder_blades(chest.layout, rng)]:
        _draw_bone(chest, tubes, CORTEX_MM * scale, CORE_HU)
    _draw_bone(chest, _sternum(chest.layout), CORTEX_MM * scale, STERNUM_HU)


def _draw_bone(chest: Chest, tubes: Tubes, cortex_mm: float, core_hu: float) -> None:
    """Cortex around a core, outside the lungs, in the box around the tubes only."""
    margin = tubes.radii_mm.max() + 3
    ends = np.concatenate([tubes.starts_kji, tubes.ends_kji])
    low = np.clip(np.floor(ends.min(axis=0) - margin).astype(int), 0, None)
    high = np.minimum(np.ceil(ends.max(axis=0) + margin).astype(int), chest.hu.shape)
    if (low >= high).any():
        return
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    local = Tubes(starts_kji=tubes.starts_kji - low, ends_kji=tubes.ends_kji - low, radii_mm=tubes.radii_mm)
    whole = np.zeros(high - low, np.float32)
    core = whole.copy()
    paint(whole, local)
    paint(core, local, -cortex_mm)
    outside_lung = 1 - coverage(chest.lung_mm[box] - 1)
    blend(chest.hu[box], whole * outside_lung, CORTEX_HU)
    blend(chest.hu[box], core * outside_lung, core_hu)


def _ribs(layout: Layout, rng: np.random.Generator) -> list[Tubes]:
    """One rib a vertebra and side: from the spine along the cage to the front, falling; the last are short."""
    ribs = []
    for number in range(RIBS):
        top = layout.apex_mm + 2 - number * PERIOD_MM + rng.uniform(-2, 2)
        fall, radius = rng.uniform(45, 65), rng.uniform(4.2, 5.2)
        reach = np.pi * (0.86 if number < 7 else 0.86 - 0.13 * (number - 6))
        angle = np.linspace(0.24, reach, 26)
        z = top - fall * (1 - np.cos(np.minimum(angle, 2.4))) / 1.74
        for side in (-1, 1):
            points = _on_cage(layout, side * angle, z, 5.5)
            ribs.append(chain(layout.kji(points), radius * layout.scale))
    return ribs


def _on_cage(layout: Layout, angle: FloatArray, z: FloatArray, outside_mm: float) -> FloatArray:
    """Points a distance outside the cage, shape (n, 3) in adult mm; angle 0 is the back, counted to the left."""
    a, b = layout.cage_mm
    up = np.clip((z - layout.waist_mm) / (layout.apex_mm + 8 - layout.waist_mm), 0, 0.985)
    narrow = (1 - up**2.6) ** (1 / 2.6)
    across, deep = np.sin(angle), np.cos(angle)
    reach = narrow * ((np.abs(across) / a) ** 2.4 + (np.abs(deep) / b) ** 2.4) ** (-1 / 2.4) + outside_mm
    return np.stack([across * reach, deep * reach + layout.cage_y_mm, z], axis=1)


def _shoulder_blades(layout: Layout, rng: np.random.Generator) -> list[Tubes]:
    """Thin plates behind the upper ribs, as fans of tubes."""
    outside = 15.0 + 0.2 * layout.fat_mm
    plates = []
    for side in (-1, 1):
        low, parts = rng.uniform(-5, 15), []
        for angle in np.linspace(0.75, 1.25, 24):
            z = np.linspace(low + 40 * (angle - 0.75), 98 - 20 * (angle - 0.75), 8)
            parts.append(chain(layout.kji(_on_cage(layout, np.full(8, side * angle), z, outside)), 2.4 * layout.scale))
        plates.append(joined(parts))
    return plates


def _sternum(layout: Layout) -> Tubes:
    lines = []
    for x in np.linspace(-12, 12, 9):
        z = np.linspace(-55, 78, 9)
        points = _on_cage(layout, np.full(9, np.pi), z, 8.0) + np.array([x, 0, 0])
        lines.append(chain(layout.kji(points), 5.0 * layout.scale))
    return joined(lines)


def _draw_spine(chest: Chest, rng: np.random.Generator) -> None:
    """Bodies with shell and discs, the arch around the canal, processes."""
    layout, scale = chest.layout, chest.layout.scale
    _, first_j, first_i = np.floor(layout.kji((-32, layout.spine_y_mm - 22, 0))).astype(int)
    _, last_j, last_i = np.ceil(layout.kji((32, layout.spine_y_mm + 44, 0))).astype(int)
    hu = chest.hu[:, first_j:last_j, first_i:last_i]
    x, y, z = layout.axes()
    x, y = x[..., first_i:last_i], y[:, first_j:last_j] - layout.spine_y_mm
    level = (z + rng.uniform(0, PERIOD_MM)) % PERIOD_MM
    body = np.sqrt((x / 17) ** 2 + (y / 14) ** 2) * 15 - 15 + 1.2 * np.cos(2 * np.pi * level / PERIOD_MM)
    ends = 10.0 - np.abs(level - PERIOD_MM / 2)  # mm to the end plate; negative in the disc
    canal = np.sqrt(x**2 + (y - 22) ** 2)
    arch = np.maximum(np.abs(canal - 11) - 3, np.abs(level - 9) - 8)
    blend(hu, coverage(scale * arch), 0.6 * CORTEX_HU)
    blend(hu, coverage(scale * (canal - 8)), CANAL_HU)
    inside = coverage(scale * body)
    blend(hu, inside, SHELL_HU)
    blend(hu, coverage(scale * np.maximum(body + 1.5, 1.5 - ends)), rng.uniform(130, 220))
    blend(hu, inside * coverage(scale * ends), DISC_HU)
    first = PERIOD_MM * np.arange(-6, 7) - (level[0, 0, 0] - z[0, 0, 0]) % PERIOD_MM
    for at in first:
        _draw_processes(chest, float(at))


def _draw_processes(chest: Chest, z: float) -> None:
    layout = chest.layout
    y = layout.spine_y_mm
    spinous = chain(layout.kji([(0, y + 33, z + 8), (0, y + 48, z - 8)]), 3.5 * layout.scale)
    _draw_bone(chest, spinous, CORTEX_MM * layout.scale, CORE_HU)
    for side in (-1, 1):
        transverse = chain(layout.kji([(side * 12, y + 16, z + 8), (side * 30, y + 26, z + 10)]), 4.0 * layout.scale)
        _draw_bone(chest, transverse, CORTEX_MM * layout.scale, CORE_HU)
