"""The packing of the shared patches, and what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.data.luna16 import DEMO_PATIENTS, integers, load

DATA = Path(__file__).parents[4] / "../shared/data/luna16_nodules"


def test_packed_integers_come_back() -> None:
    values = np.array([[3, -2, 300, -1000]])
    steps = np.diff(values, prepend=0, axis=1)
    zigzag = np.where(steps >= 0, 2 * steps, -2 * steps - 1)
    low, high = (zigzag & 255).astype(np.uint8), (zigzag >> 8).astype(np.uint8)
    assert integers(low, high, (1,)).tolist() == values.tolist()


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")
def test_the_folder_holds_819_nodules_none_of_the_demo() -> None:
    nodules = load(DATA)
    assert len(nodules) == 819
    assert not {nodule.patient_id for nodule in nodules} & DEMO_PATIENTS
    assert all(nodule.mask.any() for nodule in nodules)
    assert not any((nodule.mask & nodule.others).any() for nodule in nodules)
