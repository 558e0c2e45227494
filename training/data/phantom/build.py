"""Make a phantom: chest, trees, bones, nodules, distractors, scanner, truth. Called by training, tests and `__main__`.

Seeds from 10,000 on use shapes of LIDC patients that no phantom with a smaller seed uses: train below, evaluate above.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from inference.findings import CroppedMask
from inference.geometry import Grid
from inference.volume import BoolArray
from training.data.phantom import anatomy, distractors, lungs, mediastinum, nodules, scanner, skeleton
from training.data.phantom.anatomy import Chest
from training.data.phantom.lidc_shapes import Pool, shapes
from training.data.phantom.lungs import Filling
from training.data.phantom.model import ADULT, Phantom, Profile, TrueNodule
from training.data.phantom.nodules import DrawnNodule
from training.data.phantom.streams import stream

FIRST_HELD_OUT_SEED = 10_000


def pool_of_seed(seed: int) -> Pool:
    """Shapes that a phantom of this seed uses."""
    return Pool.TRAINING if seed < FIRST_HELD_OUT_SEED else Pool.HELD_OUT


def make(seed: int, profile: Profile = ADULT, *, progress: Callable[[str], None] = lambda _: None) -> Phantom:
    """Make a phantom; the same seed and profile give the same phantom.

    Parameters
    ----------
    seed : not negative; below 10,000 for training, above for evaluation
    profile : size and content
    progress : told the name of each stage as it begins
    """
    progress("anatomy")
    layout = anatomy.lay_out(profile, stream(seed, "layout"))
    chest = anatomy.draw(layout, stream(seed, "anatomy"))
    mediastinum.draw(chest, stream(seed, "mediastinum"))
    skeleton.draw(chest, stream(seed, "skeleton"))
    progress("trees")
    filling = lungs.fill(chest, seed)
    progress("nodules")
    drawn = _add_nodules(chest, filling, profile, seed)
    _add_distractors(chest, filling, drawn, profile, seed)
    progress("scanner")
    protocol = scanner.choose_protocol(profile, stream(seed, "protocol"))
    volume, grid = scanner.scan(chest.hu, profile, protocol, stream(seed, "noise"))
    volume.flags.writeable = False
    return Phantom(
        seed=seed,
        profile=profile.name,
        protocol=protocol,
        volume_hu=volume,
        grid=grid,
        lungs=_lungs(chest, grid),
        nodules=_truth(drawn, chest, grid),
    )


def _add_nodules(chest: Chest, filling: Filling, profile: Profile, seed: int) -> list[DrawnNodule]:
    rng = stream(seed, "nodules")
    drawn: list[DrawnNodule] = []
    for shape in nodules.choose(shapes(pool_of_seed(seed)), profile, rng):
        nodule = nodules.add(chest, filling, shape, drawn, rng)
        if nodule is not None:
            drawn.append(nodule)
    return drawn


def _add_distractors(chest: Chest, filling: Filling, drawn: list[DrawnNodule], profile: Profile, seed: int) -> None:
    rng = stream(seed, "distractors")
    for _ in range(rng.integers(profile.distractors[0], profile.distractors[1] + 1)):
        distractors.add(chest, filling, drawn, rng)


def _one_mm_grid(chest: Chest) -> Grid:
    half = (len(chest.hu) - 1) / 2
    return Grid(
        shape_kji=chest.layout.shape_kji,
        spacing_mm=(1.0, 1.0, 1.0),
        origin_lps=(-half, -half, -half),
        directions=((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    )


def _sampling(grid: Grid, chest: Chest) -> list[np.ndarray]:
    """Index into the 1 mm volume of each slice, row and column of the series; three arrays, fractional."""
    first = _one_mm_grid(chest).kji_from_lps(grid.origin_lps)
    return [first[axis] + np.arange(grid.shape_kji[axis]) * grid.spacing_mm[axis] for axis in range(3)]


def _lungs(chest: Chest, grid: Grid) -> BoolArray:
    nearest = [np.clip(np.rint(at).astype(int), 0, len(chest.hu) - 1) for at in _sampling(grid, chest)]
    return np.asarray((chest.lung_mm < 0)[np.ix_(*nearest)])


def _truth(drawn: list[DrawnNodule], chest: Chest, grid: Grid) -> tuple[TrueNodule, ...]:
    ordered = sorted(drawn, key=lambda nodule: -nodule.volume_mm3)
    return tuple(_true_nodule(number, nodule, chest, grid) for number, nodule in enumerate(ordered, start=1))


def _true_nodule(number: int, nodule: DrawnNodule, chest: Chest, grid: Grid) -> TrueNodule:
    x, y, z = _one_mm_grid(chest).lps_from_kji(nodule.centre_kji)
    return TrueNodule(
        number=number,
        mask=_mask(nodule, chest, grid),
        centre_lps=(float(x), float(y), float(z)),
        volume_mm3=nodule.volume_mm3,
        diameter_mm=nodule.diameter_mm,
        attenuation=nodule.attenuation,
        malignancy=nodule.shape.ratings["malignancy"],
        placement=nodule.placement,
        patient_id=nodule.shape.patient_id,
    )


def _mask(nodule: DrawnNodule, chest: Chest, grid: Grid) -> CroppedMask:
    """Voxels of the series whose centres lie inside the nodule."""
    local = [at - first for at, first in zip(_sampling(grid, chest), nodule.start_kji, strict=True)]
    near = [np.flatnonzero((at >= 0) & (at <= size - 1)) for at, size in zip(local, nodule.sdf_mm.shape, strict=True)]
    at = np.meshgrid(*(axis[chosen] for axis, chosen in zip(local, near, strict=True)), indexing="ij")
    inside = ndimage.map_coordinates(nodule.sdf_mm, at, order=1) < 0
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    k, j, i = (int(chosen[part.start]) for chosen, part in zip(near, box, strict=True))
    return CroppedMask(start_kji=(k, j, i), voxels=inside[box])
