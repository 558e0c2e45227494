"""A phantom as it was written comes back with its nodules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.ct_instances import uid
from tests.support.series import Ball, a_chest_series
from training.data.known import Refusal
from training.data.phantom_folder import PhantomSeries, find, read

BALL = Ball(centre_lps=(60.0, 10.0, 5.0), diameter_mm=14.0)


def a_phantom(folder: Path, **truth: object) -> Path:
    """A series with one ball, and its truth in the form of `training.data.phantom.truth`."""
    a_chest_series(folder, balls=[BALL], slices=24, size=(160, 280))
    nodule = {"number": 1, "centre_lps": BALL.centre_lps, "diameter_mm": BALL.diameter_mm, "malignancy": 4.5}
    content = {"seed": 7, "profile": "small", "series_uid": uid("1", "1"), "nodules": [nodule]}
    (folder / "truth.json").write_text(json.dumps(content | truth))
    return folder


def test_a_nodule_lies_in_the_voxels_where_the_truth_says(tmp_path: Path) -> None:
    (found,) = find(a_phantom(tmp_path / "phantom").parent)
    assert isinstance(found, PhantomSeries)
    series = read(found)
    (nodule,) = series.nodules
    assert (nodule.patient_id, nodule.diameter_mm, nodule.mask) == ("phantom-7", 14.0, None)
    dense = np.argwhere((series.volume.volume_hu == 40)[:, 80:100, 190:210])
    assert series.volume.grid.kji_from_lps(nodule.centre_lps) == pytest.approx(
        dense.mean(axis=0) + (0, 80, 190), abs=0.5
    )


@pytest.mark.parametrize(
    ("truth", "code"),
    [
        ({"series_uid": "1.2.3"}, "phantom.series-missing"),
        ({"nodules": [{"number": 1}]}, "phantom.truth"),
        ({"seed": "x"}, "phantom.truth"),
        ({"profile": "giant"}, "phantom.truth"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(tmp_path: Path, truth: dict[str, object], code: str) -> None:
    (refused,) = find(a_phantom(tmp_path, **truth))
    assert isinstance(refused, Refusal)
    assert refused.code == code
