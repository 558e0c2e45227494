"""The result of an analysis as bytes, for the way from `steps.analyse` to `steps.compose`: one npz, no pickle."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from inference.findings import Attenuation, Axis, CroppedMask, Finding, Laterality, Limit, ModelUse, Result, SoftMask
from inference.geometry import Grid


def encoded(result: Result) -> bytes:
    """The result as an npz: masks as bits, soft masks as bytes, everything else as one JSON text."""
    facts = {
        "grid": dataclasses.asdict(result.grid),
        "models": [dataclasses.asdict(model) for model in result.models],
        "malignancy_labels": result.malignancy_labels,
        "limits": [dataclasses.asdict(limit) for limit in result.limits],
        "findings": [_facts(finding) for finding in result.findings],
    }
    masks = {f"mask{f.number}": np.packbits(f.mask.voxels) for f in result.findings}
    soft = {f"soft{f.number}": f.soft.values for f in result.findings if f.soft is not None}
    buffer = io.BytesIO()
    text, lungs = np.array(json.dumps(facts)), np.packbits(result.lungs)
    np.savez(buffer, allow_pickle=False, facts=text, lungs=lungs, **masks, **soft)
    return buffer.getvalue()


def decoded(data: bytes) -> Result:
    """The result that `encoded` took; one that was stored before limits or soft masks were written has none."""
    with np.load(io.BytesIO(data), allow_pickle=False) as pack:
        facts = json.loads(str(pack["facts"]))
        grid = Grid(**_tuples(facts["grid"]))
        return Result(
            grid=grid,
            findings=tuple(_finding(raw, pack) for raw in facts["findings"]),
            lungs=_bits(pack["lungs"], grid.shape_kji),
            models=tuple(ModelUse(**model) for model in facts["models"]),
            malignancy_labels=facts["malignancy_labels"],
            limits=tuple(Limit(**limit) for limit in facts.get("limits", ())),
        )


def _facts(finding: Finding) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(finding) if field.name not in ("mask", "soft")]
    raw = {name: getattr(finding, name) for name in names}
    raw["long_axis"], raw["short_axis"] = dataclasses.asdict(finding.long_axis), dataclasses.asdict(finding.short_axis)
    raw |= {"soft_start_kji": finding.soft.start_kji} if finding.soft is not None else {}
    return raw | {"start_kji": finding.mask.start_kji, "shape_kji": finding.mask.voxels.shape}


def _finding(raw: dict[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Finding:
    typed, number = _tuples(raw), raw["number"]
    mask = CroppedMask(start_kji=typed.pop("start_kji"), voxels=_bits(arrays[f"mask{number}"], typed.pop("shape_kji")))
    soft_start = typed.pop("soft_start_kji", None)
    soft = None if soft_start is None else SoftMask(start_kji=soft_start, values=arrays[f"soft{number}"])
    typed |= {"long_axis": Axis(**typed["long_axis"]), "short_axis": Axis(**typed["short_axis"])}
    laterality = typed.pop("laterality")
    return Finding(
        **typed | {"attenuation": Attenuation(typed["attenuation"])},
        mask=mask,
        soft=soft,
        laterality=None if laterality is None else Laterality(laterality),
    )


def _bits(packed: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(bool)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
