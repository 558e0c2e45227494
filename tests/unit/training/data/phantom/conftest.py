"""Small phantoms, made once for all tests of this folder."""

from __future__ import annotations

import dataclasses
import functools

import pytest

from training.data.phantom import SMALL, Phantom, anatomy, lungs, make, mediastinum, skeleton
from training.data.phantom.anatomy import Chest
from training.data.phantom.lungs import Filling
from training.data.phantom.streams import stream

SEED = 11
WITHOUT_DISTRACTORS = dataclasses.replace(SMALL, distractors=(0, 0))


@functools.cache
def small(seed: int) -> Phantom:
    """The small phantom of a seed, made once."""
    return make(seed, SMALL)


@pytest.fixture(scope="package")
def phantom() -> Phantom:
    """The small phantom of seed 11."""
    return small(SEED)


@pytest.fixture(scope="package")
def phantom_without_distractors() -> Phantom:
    """The same, drawn without what is not a nodule."""
    return make(SEED, WITHOUT_DISTRACTORS)


@pytest.fixture(scope="package")
def drawn() -> tuple[Chest, Filling]:
    """A small chest with its trees, before nodules and scanner."""
    chest = anatomy.draw(anatomy.lay_out(SMALL, stream(SEED, "layout")), stream(SEED, "anatomy"))
    mediastinum.draw(chest, stream(SEED, "mediastinum"))
    skeleton.draw(chest, stream(SEED, "skeleton"))
    return chest, lungs.fill(chest, SEED)
