"""Airways, arteries and veins of the lungs, grown generation by generation towards the volume that they serve.

Volume filling after Tawhai et al. (J Appl Physiol 2000;88:2207): every branch owns a cloud of points; it grows 0.42 of
the way to the middle of its cloud and splits it by a plane. The radius of a branch goes with the third root of its
points: Murray's law with exponent 3, near what Huang et al. (J Appl Physiol 1996;81:2123) measured in pulmonary
arteries, and Weibel's airways (d * 2**(-g/3)). All branches of a generation are grown at once. Called from `lungs`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.geometry import FloatArray
from training.data.phantom.mediastinum import Root
from training.data.phantom.tubes import Tubes

ADVANCE = (0.15, 0.25, 0.33, 0.42)  # lobar branches leave near the hilum; the last holds for all later generations
STEEPEST_COSINE = np.cos(np.radians(55))
TORTUOSITY = 0.03
PIECE_MM = 4.0
GENERATIONS = 40

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Branches of one tree; a branch comes after its parent.

    Parameters
    ----------
    starts_kji, ends_kji : shape (n, 3), voxel indices
    radii_mm : shape (n,)
    parents : shape (n,), index of the parent, -1 for the root
    """

    starts_kji: FloatArray
    ends_kji: FloatArray
    radii_mm: FloatArray
    parents: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Front:
    """The branches of the last generation: their ends, directions, indices, and which of them owns each point."""

    points: FloatArray
    owner: IntArray
    tips: FloatArray
    directions: FloatArray
    index: IntArray


def grow(points_kji: FloatArray, root: Root, smallest_mm: float) -> Tree:
    """Grow a tree from its root into a cloud of points.

    Parameters
    ----------
    points_kji : shape (n, 3), what the tree serves
    root : where it begins; its radius belongs to all n points
    smallest_mm : thinner branches are not grown
    """
    total = len(points_kji)
    front = _Front(
        points=points_kji,
        owner=np.zeros(total, np.int64),
        tips=root.position_kji[None],
        directions=root.direction_kji[None],
        index=np.array([-1]),
    )
    grown: list[Tree] = []
    count = 0
    for generation in range(GENERATIONS):
        advance = ADVANCE[min(generation, len(ADVANCE) - 1)]
        owner = front.owner if generation == 0 else _split(front)
        branches, front = _advance(front, owner, root.radius_mm / total ** (1 / 3), count, advance)
        grown.append(branches)
        count += len(branches.radii_mm)
        front = _living(front, branches.radii_mm, smallest_mm)
        if not len(front.points):
            break
    return Tree(
        starts_kji=np.concatenate([branches.starts_kji for branches in grown]),
        ends_kji=np.concatenate([branches.ends_kji for branches in grown]),
        radii_mm=np.concatenate([branches.radii_mm for branches in grown]),
        parents=np.concatenate([branches.parents for branches in grown]),
    )


def _split(front: _Front) -> IntArray:
    """New owner of each point: twice the old one, plus one beyond the plane through the middle of the cloud.

    The plane holds the direction of the branch and is at right angles to where the cloud is widest.
    """
    middle = _means(front.points, front.owner)
    offset = front.points - middle[front.owner]
    along = front.directions[front.owner]
    across = offset - (offset * along).sum(axis=1, keepdims=True) * along
    spread = np.stack([np.bincount(front.owner, a * b) for a in across.T for b in across.T], axis=1).reshape(-1, 3, 3)
    normals = np.linalg.eigh(spread)[1][:, :, 2]
    return np.asarray(2 * front.owner + ((across * normals[front.owner]).sum(axis=1) > 0))


def _advance(front: _Front, owner: IntArray, unit_mm: float, first: int, advance: float) -> tuple[Tree, _Front]:
    """Grow one branch for each owner that has points."""
    owners, owner, counts = np.unique(owner, return_inverse=True, return_counts=True)
    parent = owners // 2
    tips, before = front.tips[parent], front.directions[parent]
    way = _means(front.points, owner) - tips
    distance = np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)
    directions = _bounded(way / distance, before)
    ends = tips + directions * distance * np.where(counts == 1, 1.0, advance)[:, None]
    branches = Tree(
        starts_kji=tips, ends_kji=ends, radii_mm=unit_mm * np.cbrt(counts.astype(float)), parents=front.index[parent]
    )
    index = first + np.arange(len(owners))
    return branches, _Front(points=front.points, owner=owner, tips=ends, directions=directions, index=index)


def _living(front: _Front, radii_mm: FloatArray, smallest_mm: float) -> _Front:
    """Without the branches that are done: those of one point, and those too thin."""
    counts = np.bincount(front.owner, minlength=len(radii_mm))
    alive = (counts > 1) & (radii_mm > smallest_mm)
    kept = alive[front.owner]
    return _Front(
        points=front.points[kept],
        owner=(np.cumsum(alive) - 1)[front.owner[kept]],
        tips=front.tips[alive],
        directions=front.directions[alive],
        index=front.index[alive],
    )


def _bounded(wanted: FloatArray, before: FloatArray) -> FloatArray:
    """Unit vectors turned towards `before` where they bend by more than the steepest angle."""
    cosine = (wanted * before).sum(axis=1, keepdims=True)
    across = wanted - cosine * before
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    bent = STEEPEST_COSINE * before + np.sqrt(1 - STEEPEST_COSINE**2) * across
    return np.asarray(np.where(cosine < STEEPEST_COSINE, bent, wanted))


def _means(points: FloatArray, owner: IntArray) -> FloatArray:
    counts = np.bincount(owner)
    return np.stack([np.bincount(owner, axis) / counts for axis in points.T], axis=1)


def beside(tree: Tree, offset: FloatArray) -> Tree:
    """The tree shifted by `offset` times the local radius, so that arteries run beside the airways that they follow."""
    before = np.where(tree.parents >= 0, tree.radii_mm[tree.parents], 0)[:, None]
    return Tree(
        starts_kji=tree.starts_kji + offset * before,
        ends_kji=tree.ends_kji + offset * tree.radii_mm[:, None],
        radii_mm=tree.radii_mm,
        parents=tree.parents,
    )


def bent(tree: Tree, rng: np.random.Generator) -> Tubes:
    """The branches as slightly winding chains of straight pieces."""
    length = np.linalg.norm(tree.ends_kji - tree.starts_kji, axis=1)
    pieces = np.maximum(np.ceil(length / PIECE_MM).astype(int), 1)
    owner = np.repeat(np.arange(len(pieces)), pieces)
    order = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    sway = rng.normal(0, TORTUOSITY, (2, len(pieces), 3)) * length[:, None]

    def at(part: FloatArray) -> FloatArray:
        line = tree.starts_kji[owner] * (1 - part) + tree.ends_kji[owner] * part
        sideways = sway[0][owner] * np.sin(np.pi * part) + 0.5 * sway[1][owner] * np.sin(2 * np.pi * part)
        return np.asarray(line + sideways)

    return Tubes(
        starts_kji=at((order / pieces[owner])[:, None]),
        ends_kji=at(((order + 1) / pieces[owner])[:, None]),
        radii_mm=tree.radii_mm[owner],
    )
