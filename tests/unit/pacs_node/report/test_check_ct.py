"""The check reads CTs by itself, and comes to the Hounsfield units that the models get."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from inference.eligibility import Eligibility, judge
from inference.series import load, read_headers
from pacs_node.report.check.ct import UNDECODABLE, read_ct
from tests.support.results import ANY_SERIES
from tests.support.series import AXIAL, a_series

SERIES: dict[str, dict[str, Any]] = {
    **{name: {"orientation": orientation} for name, orientation in AXIAL.items()},
    "12 of 16 bits": {"bits_stored": 12, "signed": False},
    "a rescale of each slice": {"rescale": lambda k: (0.5 + k / 7.0, -1000.0 - k)},
    "padding": {"padding": -2000},
    "a range of padding": {"padding": -2000, "padding_limit": -1500, "rescale": (1.0, 0.0)},
    "padding in unused bits": {"bits_stored": 12, "signed": False, "padding": 63536},
    "Enhanced": {"enhanced": True},
    "Enhanced with a rescale of each frame": {"enhanced": True, "rescale": lambda k: (1.0 + k / 8.0, -1000.0)},
    **{
        syntax.name: {"transfer_syntax": syntax}
        for syntax in (
            ImplicitVRLittleEndian,
            ExplicitVRBigEndian,
            DeflatedExplicitVRLittleEndian,
            RLELossless,
            JPEGLSLossless,
            JPEG2000Lossless,
        )
    },
}


@pytest.mark.parametrize("name", SERIES)
def test_order_frames_and_values_are_those_that_the_models_get(name: str, tmp_path: Path) -> None:
    paths = a_series(tmp_path, **{"slices": 6, "size": (48, 40), **SERIES[name]})
    eligibility = _judged(paths)
    assert eligibility.grid is not None
    ct = read_ct(paths[::-1])
    assert np.array_equal(ct.volume_hu, load(eligibility.slices, eligibility.grid).volume_hu)
    assert [str(header.SOPInstanceUID) for header in ct.headers] == [s.sop_instance_uid for s in eligibility.slices]
    assert ct.frame_numbers == tuple(item.frame for item in eligibility.slices if item.frame)


@pytest.mark.parametrize("damage", ["cut short", "no rescale", "another size", "no position"])
def test_what_is_no_volume_is_refused(damage: str, tmp_path: Path) -> None:
    paths = a_series(tmp_path, slices=4)
    dataset = dcmread(paths[2])
    if damage == "cut short":
        dataset.PixelData = dataset.PixelData[:-100]
    if damage == "no rescale":
        del dataset.RescaleSlope
    if damage == "another size":
        dataset.Rows, dataset.Columns = 32, 128
    if damage == "no position":
        del dataset.ImagePositionPatient
    dataset.save_as(paths[2])
    with pytest.raises(UNDECODABLE):
        read_ct(paths)


def test_what_claims_to_be_too_large_is_refused_before_there_is_an_array_for_it(tmp_path: Path) -> None:
    paths = a_series(tmp_path, slices=4)
    first = dcmread(paths[0])
    first.Rows = first.Columns = 60_000
    first.save_as(paths[0])
    with pytest.raises(ValueError, match="too large"):
        read_ct(paths)


def _judged(paths: Sequence[Path]) -> Eligibility:
    (series,) = read_headers(paths)
    return judge(series, ANY_SERIES)
