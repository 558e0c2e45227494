"""What a pack gives is what was put in, number by number, and a broken one says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.support.torch_networks import a_nodule
from tests.support.torch_slices import a_slice
from training.data.luna16 import EDGE, Nodule
from training.data.packs import (
    NODULES,
    NODULES_TABLE,
    SLICES,
    TOGETHER,
    PackBroken,
    PackWriter,
    differences,
    load_nodules,
    load_slices,
    sums,
)
from training.data.slices import Slice


def are_equal(one: Nodule | Slice, other: Nodule | Slice) -> bool:
    """Whether all fields are, types of arrays included."""
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one)]
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype if isinstance(a, np.ndarray) else a == b and type(a) is type(b)
        for a, b in pairs
    )


def some_patches(count: int) -> list[Nodule]:
    """Patches with a neighbour, odd numbers and rare HU."""
    rng = np.random.default_rng(0)
    neighbour = np.zeros((EDGE,) * 3, bool)
    neighbour[:3, 4:9, 40:] = True
    hu = rng.integers(-32768, 32768, (EDGE,) * 3).astype(np.int16)
    plain = [dataclasses.replace(a_nodule(f"P{n}", radius=3 + n / 7), nodule_id=f"n:{n}") for n in range(count)]
    return [dataclasses.replace(plain[0], patch_hu=hu, others=neighbour, ratings=()), *plain[1:]]


@pytest.mark.parametrize("shape", [(2, 5), (1, 4, 3), (2, 3, 4, 5)])
def test_differences_are_undone_for_any_numbers_of_16_bits(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).integers(-32768, 32768, shape).astype(np.int16)
    values.flat[:2] = -32768, 32767
    assert np.array_equal(sums(differences(values)), values)
    assert sums(differences(values)).dtype == np.int16


def test_nodules_and_slices_come_back_as_they_were(tmp_path: Path) -> None:
    nodules = some_patches(3)
    slices = [a_slice(n, readers=1 + n % 5) for n in range(TOGETHER + 2)]  # two files
    with PackWriter(tmp_path) as writer:
        for nodule in nodules:
            writer.add_nodule(nodule)
        for one in slices:
            writer.add_slice(one, "1.2")
    assert len(list((tmp_path / SLICES).glob("*.npz"))) == 2
    assert all(map(are_equal, load_nodules(tmp_path / NODULES), nodules))
    assert all(map(are_equal, load_slices(tmp_path / SLICES), slices))
    assert (len(load_nodules(tmp_path / NODULES)), len(load_slices(tmp_path / SLICES))) == (3, TOGETHER + 2)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda folder: (folder / "pixels-0000.npz").unlink(), id="no pixels"),
        pytest.param(lambda folder: (folder / "pixels-0000.npz").write_bytes(b"PK"), id="no archive"),
        pytest.param(lambda folder: (folder / NODULES_TABLE).write_text("{}\n"), id="no fields"),
        pytest.param(lambda folder: (folder / NODULES_TABLE).write_text("nodule\n"), id="no JSON"),
        pytest.param(lambda folder: _without_the_last_row(folder / NODULES_TABLE), id="a row less"),
    ],
)
def test_a_pack_whose_table_and_pixels_differ_is_refused(tmp_path: Path, harm: object) -> None:
    with PackWriter(tmp_path) as writer:
        for nodule in some_patches(2):
            writer.add_nodule(nodule)
    assert callable(harm)
    harm(tmp_path / NODULES)
    with pytest.raises(PackBroken) as refused:
        load_nodules(tmp_path / NODULES)
    assert refused.value.code == "pack.broken"


def _without_the_last_row(table: Path) -> None:
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
