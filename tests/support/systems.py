"""A model repository with five tiny systems: what a node can choose from, without anything that was trained.

The 2-D models mark what is denser than -405 HU, half way from lung to soft tissue, and each says a malignancy of its
own, whatever it sees: `MALIGNANCY`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from inference.contract import Contract, Feed, Intensity, RoiSlices, TensorSpec
from inference.registry import Member, ModelRepository
from tests.support.detectors import ball_repository

MALIGNANCY = {"hr_mpf": 0.25, "mt_net": 0.5, "detection_guided": 0.75}
EDGE = 64
MARK = ["probability"]
RATE = ["malignancy"]

_INTENSITY = Intensity(window_hu=(-1000.0, 400.0), mean_hu=-1000.0, sd_hu=1400.0)
_LEVEL = (-405.0 + 1000.0) / 1400.0
_SHAPES: Mapping[str, tuple[int, ...]] = {
    "image": (1, EDGE, EDGE),
    "coarse": (1, EDGE, EDGE),
    "probability": (1, EDGE, EDGE),
    "malignancy": (1,),
}


def five_systems(path: Path) -> Path:
    """Publish `ball_repository` and the four 2-D systems."""
    models = ModelRepository(ball_repository(path))
    models.publish(_member("hr_mpf", "hr_mpf", MARK + RATE, roles=("segmentation", "malignancy")))
    models.publish(_member("detection_guided", "detection_guided", MARK + RATE, roles=("segmentation", "malignancy")))
    models.publish(_member("dsnet", "dsnet", MARK, roles=("segmentation",), pixel_spacing_mm=None))
    feeds = (Feed(input="coarse", model="mt_net_coarse", output="probability"),)
    models.publish(
        _member("mt_net", "mt_net_coarse", MARK),
        _member("mt_net", "mt_net_fine", MARK, roles=("segmentation",), feeds=feeds),
        _member("mt_net", "mt_net_class", RATE, roles=("malignancy",), feeds=feeds),
    )
    return path


def _member(
    system: str,
    model: str,
    outputs: Sequence[str],
    *,
    roles: tuple[str, ...] = (),
    feeds: tuple[Feed, ...] = (),
    pixel_spacing_mm: float | None = 0.7,
) -> Member:
    inputs = ["image"] + [feed.input for feed in feeds]
    contract = Contract(
        model=model,
        version=1,
        kind="slice-model",
        file="",
        sha256="",
        inputs=tuple(TensorSpec(name=name, shape=_SHAPES[name]) for name in inputs),
        outputs=tuple(TensorSpec(name=name, shape=_SHAPES[name]) for name in outputs),
        system=system,
        roles=roles,
        intensity=_INTENSITY,
        roi=RoiSlices(size_ji=(EDGE, EDGE), pixel_spacing_mm=pixel_spacing_mm, margin_mm=5.0, threshold=0.5),
        feeds=feeds,
        label_rule=f"nothing was learned by {system}",
    )
    return Member(contract=contract, artefact=_graph(inputs, outputs, MALIGNANCY.get(system, 0.0)))


def _graph(inputs: Sequence[str], outputs: Sequence[str], malignancy: float) -> bytes:
    """Probability = sigmoid of the image, or of what a coarser model answered, around a level."""
    source, level = ("coarse", 0.5) if "coarse" in inputs else ("image", _LEVEL)
    marking = [
        helper.make_node("Sub", [source, "level"], ["above"]),
        helper.make_node("Mul", ["above", "steepness"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    rating = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "said"], ["malignancy"]),
    ]
    constants: dict[str, Any] = {
        "level": np.float32(level),
        "steepness": np.float32(20.0),
        "axes": np.array([2, 3]),
        "nothing": np.float32(0.0),
        "said": np.float32(malignancy),
    }
    nodes = (marking if "probability" in outputs else []) + (rating if "malignancy" in outputs else [])
    needed = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "slices",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *_SHAPES[name]]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *_SHAPES[name]]) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items() if name in needed],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())
