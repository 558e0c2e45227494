from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from inference.findings import CroppedMask, Finding, Result
from pacs_node.archive.findings import decoded, encoded
from tests.support.results import a_case

CASE = a_case()


def _values(finding: Finding) -> dict[str, object]:
    return {f.name: getattr(finding, f.name) for f in dataclasses.fields(finding) if f.name != "mask"}


def _same(one: Result, other: Result) -> None:
    assert (one.grid, one.models, one.malignancy_labels) == (other.grid, other.models, other.malignancy_labels)
    assert np.array_equal(one.lungs, other.lungs)
    assert one.lungs.dtype == other.lungs.dtype == np.bool_
    assert len(one.findings) == len(other.findings)
    for left, right in zip(one.findings, other.findings, strict=True):
        assert _values(left) == _values(right)
        assert left.mask.start_kji == right.mask.start_kji
        assert np.array_equal(left.mask.voxels, right.mask.voxels)


def test_a_result_survives_the_way_to_the_next_step() -> None:
    assert len(CASE.result.findings) == 2
    _same(decoded(encoded(CASE.result)), CASE.result)


def test_a_result_without_findings_survives_too() -> None:
    nothing = dataclasses.replace(CASE.result, findings=())
    _same(decoded(encoded(nothing)), nothing)


@pytest.mark.parametrize("missing", ["laterality", "malignancy"])
def test_what_is_not_known_stays_unknown(missing: str) -> None:
    finding = dataclasses.replace(CASE.result.findings[0], **{missing: None})
    result = dataclasses.replace(CASE.result, findings=(finding,))
    assert getattr(decoded(encoded(result)).findings[0], missing) is None


@given(arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=5)), st.floats(allow_nan=False))
def test_masks_of_any_shape_and_values_of_any_size_survive(voxels: np.ndarray, value: float) -> None:
    mask = CroppedMask(start_kji=(1, 2, 3), voxels=voxels)
    finding = dataclasses.replace(CASE.result.findings[0], mask=mask, volume_mm3=value)
    result = dataclasses.replace(CASE.result, findings=(finding,))
    _same(decoded(encoded(result)), result)


def test_what_is_read_cannot_run_code() -> None:
    with np.load(io.BytesIO(encoded(CASE.result)), allow_pickle=False) as pack:
        assert all(pack[name].dtype != np.object_ for name in pack.files)
