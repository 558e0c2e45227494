from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from inference.findings import CroppedMask, Finding, Limit, Result, SoftMask
from pacs_node.archive.findings import decoded, encoded
from tests.support.results import a_case

CASE = a_case()


def _values(finding: Finding) -> dict[str, object]:
    return {f.name: getattr(finding, f.name) for f in dataclasses.fields(finding) if f.name not in ("mask", "soft")}


def _same(one: Result, other: Result) -> None:
    for name in ("grid", "models", "malignancy_labels", "limits"):
        assert getattr(one, name) == getattr(other, name)
    assert np.array_equal(one.lungs, other.lungs)
    assert one.lungs.dtype == other.lungs.dtype == np.bool_
    assert len(one.findings) == len(other.findings)
    for left, right in zip(one.findings, other.findings, strict=True):
        assert _values(left) == _values(right)
        assert left.mask.start_kji == right.mask.start_kji
        assert np.array_equal(left.mask.voxels, right.mask.voxels)
        assert (left.soft is None) == (right.soft is None)
        if left.soft is not None and right.soft is not None:
            assert left.soft.start_kji == right.soft.start_kji
            assert left.soft.values.dtype == right.soft.values.dtype == np.uint8
            assert np.array_equal(left.soft.values, right.soft.values)


def test_a_result_survives_the_way_to_the_next_step() -> None:
    assert len(CASE.result.findings) == 2
    _same(decoded(encoded(CASE.result)), CASE.result)


def test_a_result_without_findings_survives_too() -> None:
    nothing = dataclasses.replace(CASE.result, findings=())
    _same(decoded(encoded(nothing)), nothing)


def test_limits_survive_too() -> None:
    limits = (Limit(code="lungs.cut-at-top", text="201 cm2"), Limit(code="lungs.cut-at-base", text="99 cm2"))
    limited = dataclasses.replace(CASE.result, limits=limits)
    _same(decoded(encoded(limited)), limited)


def test_a_result_that_was_stored_before_there_were_limits_has_none() -> None:
    _same(decoded(_without(encoded(CASE.result), "limits")), CASE.result)


@given(arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=5)))
def test_soft_masks_survive_beside_findings_that_have_none(values: np.ndarray) -> None:
    first, second = CASE.result.findings
    soft = dataclasses.replace(second, soft=SoftMask(start_kji=(4, 5, 6), values=values))
    result = dataclasses.replace(CASE.result, findings=(first, soft))
    _same(decoded(encoded(result)), result)


def test_a_result_without_soft_masks_is_stored_as_before_there_were_any() -> None:
    with np.load(io.BytesIO(encoded(CASE.result)), allow_pickle=False) as pack:
        assert set(pack.files) == {"facts", "lungs", "mask1", "mask2"}
        assert "soft" not in str(pack["facts"])


def _without(data: bytes, fact: str) -> bytes:
    """The result as a version that did not know this fact wrote it."""
    with np.load(io.BytesIO(data), allow_pickle=False) as pack:
        arrays = dict(pack)
    facts = json.loads(str(arrays.pop("facts")))
    del facts[fact]
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays)
    return buffer.getvalue()


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
