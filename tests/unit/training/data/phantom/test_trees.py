"""Trees: laws of branching that can be stated, on a tree grown into a block."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.phantom.mediastinum import Root
from training.data.phantom.trees import STEEPEST_COSINE, Tree, bent, beside, grow


@pytest.fixture(scope="module")
def tree() -> Tree:
    points = np.random.default_rng(5).uniform((0, 0, 20), (100, 80, 90), (3000, 3))
    root = Root(position_kji=np.array([50.0, 40, 10]), direction_kji=np.array([0.0, 0, 1]), radius_mm=7.0)
    return grow(points, root, 0.4)


def children(tree: Tree, branch: int) -> np.ndarray:
    return np.flatnonzero(tree.parents == branch)


def test_radii_obey_murrays_law(tree: Tree) -> None:
    # Murray: r0**3 = r1**3 + r2**3; the exponent that fits is looked for in 2..4, as it is measured in vessels.
    forks = [(tree.radii_mm[n], tree.radii_mm[children(tree, n)]) for n in range(len(tree.parents))]
    forks = [(parent, pair) for parent, pair in forks if len(pair) == 2]
    exponents = np.linspace(2, 4, 201)
    misfit = [np.mean([abs(parent**x - (pair**x).sum()) / parent**x for parent, pair in forks]) for x in exponents]
    assert len(forks) > 1000
    assert exponents[int(np.argmin(misfit))] == pytest.approx(3, abs=0.011)


def test_every_branch_begins_where_its_parent_ends(tree: Tree) -> None:
    rest = tree.parents >= 0
    assert (tree.parents[rest] < np.flatnonzero(rest)).all()
    assert np.allclose(tree.starts_kji[rest], tree.ends_kji[tree.parents[rest]])


def test_the_root_has_the_radius_and_place_asked_for(tree: Tree) -> None:
    assert tree.parents.tolist().count(-1) == 1
    assert tree.radii_mm[0] == pytest.approx(7)
    assert tree.starts_kji[0].tolist() == [50, 40, 10]


def test_no_branch_bends_more_than_the_steepest_angle(tree: Tree) -> None:
    way = tree.ends_kji - tree.starts_kji
    direction = way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    rest = np.flatnonzero((tree.parents >= 0) & (np.linalg.norm(way, axis=1) > 1e-3))
    cosine = (direction[rest] * direction[tree.parents[rest]]).sum(axis=1)
    assert cosine.min() > STEEPEST_COSINE - 1e-6


def test_the_tree_reaches_all_parts_of_what_it_serves(tree: Tree) -> None:
    blocks = np.floor(tree.ends_kji / 20).astype(int)
    wanted = {(k, j, i) for k in range(5) for j in range(4) for i in range(1, 4)}
    assert wanted <= {tuple(block) for block in blocks.tolist()}


def test_branches_that_would_be_too_thin_do_not_grow_on(tree: Tree) -> None:
    forked = tree.radii_mm[np.unique(tree.parents[1:])]
    assert forked.min() > 0.4


def test_an_artery_runs_beside_its_airway_by_a_multiple_of_its_radius(tree: Tree) -> None:
    moved = beside(tree, np.array([2.0, 0, 0]))
    assert np.allclose(moved.ends_kji[:, 0] - tree.ends_kji[:, 0], 2 * tree.radii_mm)
    rest = tree.parents >= 0
    assert np.allclose(moved.starts_kji[rest], moved.ends_kji[tree.parents[rest]])


def test_bent_branches_keep_their_ends(tree: Tree) -> None:
    tubes = bent(tree, np.random.default_rng(1))
    starts = {tuple(point) for point in tubes.starts_kji.round(6).tolist()}
    assert {tuple(point) for point in tree.starts_kji.round(6).tolist()} <= starts
    straight = np.linalg.norm(tree.ends_kji - tree.starts_kji, axis=1).sum()
    winding = np.linalg.norm(tubes.ends_kji - tubes.starts_kji, axis=1).sum()
    assert 1 <= winding / straight < 1.1
