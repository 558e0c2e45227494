"""The shapes that are packed, and who may use them."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from training.data.phantom.lidc_packing import DEMO_PATIENTS
from training.data.phantom.lidc_shapes import Pool, pool_of, shapes

REAL_DATA = Path(__file__).parents[5] / "../shared/data"


def test_pools_share_no_patient() -> None:
    training = {shape.patient_id for shape in shapes(Pool.TRAINING)}
    held_out = {shape.patient_id for shape in shapes(Pool.HELD_OUT)}
    assert training.isdisjoint(held_out)
    assert len(training) > 200
    assert len(held_out) > 50
    assert (training | held_out).isdisjoint(DEMO_PATIENTS)


def test_the_pool_of_a_patient_does_not_depend_on_the_other_patients() -> None:
    # first byte of SHA-256 (printf LIDC-IDRI-0003 | sha256sum): 0x93 = 147, 147 % 4 = 3
    assert pool_of("LIDC-IDRI-0003") is Pool.TRAINING


@pytest.mark.parametrize("pool", Pool)
def test_packed_shapes_are_nodules_of_4_to_30_mm_in_their_boxes(pool: Pool) -> None:
    for shape in shapes(pool):
        assert 4 <= shape.diameter_mm <= 30
        assert min(shape.ratings.values()) >= 1
        assert max(shape.ratings.values()) <= 6
        assert all(np.asarray(shape.voxels.any(axis=other))[[0, -1]].all() for other in ((1, 2), (0, 2), (0, 1)))


@pytest.mark.data
def test_packed_shapes_come_from_the_patients_that_may_be_used() -> None:
    if not REAL_DATA.exists():
        pytest.skip("../shared/data is not there")
    with (REAL_DATA / "luna16_nodules/nodules.csv").open() as file:
        allowed = {row["patient_id"] for row in csv.DictReader(file)}
    with gzip.open(REAL_DATA / "lidc_slices/slices.jsonl.gz", "rt") as lines:
        allowed |= {json.loads(line)["patient_id"] for line in lines}
    assert {shape.patient_id for pool in Pool for shape in shapes(pool)} <= allowed
