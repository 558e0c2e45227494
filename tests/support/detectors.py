"""A model repository whose detector finds bright balls by arithmetic, so that a whole node can be tested in seconds.

Probability = how much brighter the neighbourhood is than its surroundings. No training, no torch.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from inference.contract import Contract, Detection, Intensity, SeriesLimits, TensorSpec
from inference.onnx import OnnxPredictor
from inference.registry import Member, ModelRepository
from tests.support.releases import add_model, golden_file

EDGE = 64
STEEPNESS = 40.0
"""How sharply probability rises at the edge of a ball."""
NEAR, FAR = 5, 21
"""Edges of the two boxes that are compared, voxels of 1 mm; finds balls of about 8 to 20 mm."""


def ball_repository(path: Path) -> Path:
    """Publish the detector as `jnsc`, with a head that calls every candidate a benign nodule."""
    ModelRepository(path).publish(*ball_members(STEEPNESS))
    return path


def ball_release(folder: Path, steepness: float) -> Path:
    """Write a release of the same system with another steepness, so with another file; its golden case is noise."""
    with tempfile.TemporaryDirectory() as place:
        trial = ModelRepository(Path(place))
        trial.publish(*ball_members(steepness))
        for member in ball_members(steepness):
            contract = member.contract
            noise = np.random.default_rng(0).random((1, *contract.inputs[0].shape), np.float32)
            inputs = {contract.inputs[0].name: noise}
            answer = OnnxPredictor(trial, exact=True).infer(contract.model, 1, inputs, ["probability"])
            add_model(folder, contract, member.artefact, golden_file(inputs, answer))
    return folder


def ball_members(steepness: float) -> tuple[Member, Member]:
    """The detector and its head, to be published."""
    head = Contract(
        model="jnsc_head",
        version=1,
        kind="roi-head",
        file="",
        sha256="",
        inputs=(TensorSpec(name="features", shape=(9,)),),
        outputs=(TensorSpec(name="probability", shape=(3,)),),
        system="jnsc",
        roles=("malignancy",),
        classes=("benign", "malignant", "non-nodule"),
        label_rule="nothing was learned",
        evaluation={"parity": 1e-4},
    )
    detector = Contract(
        model="jnsc",
        version=1,
        kind="dense-detector",
        file="",
        sha256="",
        inputs=(TensorSpec(name="window", shape=(1, EDGE, EDGE, EDGE)),),
        outputs=(
            TensorSpec(name="probability", shape=(1, EDGE, EDGE, EDGE)),
            TensorSpec(name="v1", shape=(1, EDGE, EDGE, EDGE)),
        ),
        system="jnsc",
        roles=("detection", "segmentation"),
        spacing_mm=(1.0, 1.0, 1.0),
        intensity=Intensity(window_hu=(-1000.0, 400.0), mean_hu=-1000.0, sd_hu=1400.0),
        detection=Detection(
            roi_kji=(EDGE, EDGE, EDGE),
            stride_kji=(32, 32, 32),
            threshold=0.4,
            nms_mm=5.0,
            minimum_diameter_mm=3.0,
            operating_score=0.5,
        ),
        limits=SeriesLimits(
            slice_thickness_mm=(0.5, 5.0),
            slice_spacing_mm=(0.5, 5.0),
            pixel_spacing_mm=(0.4, 1.0),
            minimum_slices=20,
            minimum_coverage_mm=80.0,
        ),
        features=(("v1", 1, 2),),
        head="jnsc_head",
        evaluation={"parity": 1e-4},
    )
    return Member(contract=detector, artefact=_detector(steepness)), Member(contract=head, artefact=_head())


def _detector(steepness: float) -> bytes:
    nodes = []
    for name, edge in (("near", NEAR), ("far", FAR)):
        source = "window"
        for axis in range(3):
            kernel = [edge if axis == at else 1 for at in range(3)]
            pads = [size // 2 for size in kernel] * 2
            target = f"{name}{axis}"
            nodes.append(helper.make_node("AveragePool", [source], [target], kernel_shape=kernel, pads=pads))
            source = target
    nodes += [
        helper.make_node("Sub", ["near2", "far2"], ["v1"]),
        helper.make_node("Sub", ["v1", "level"], ["above"]),
        helper.make_node("Mul", ["above", "steepness"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    cube = ["batch", 1, EDGE, EDGE, EDGE]
    constants = {"level": 0.35, "steepness": steepness}
    return _model(nodes, constants, ("window", cube), {"probability": cube, "v1": cube})


def _head() -> bytes:
    weights = {"weights": np.zeros((9, 3), np.float32), "bias": np.array([4, 1, 0], np.float32)}
    nodes = [
        helper.make_node("Gemm", ["features", "weights", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probability"], axis=-1),
    ]
    return _model(nodes, weights, ("features", ["batch", 9]), {"probability": ["batch", 3]})


def _model(nodes, constants, entry, outputs) -> bytes:  # type: ignore[no-untyped-def]
    graph = helper.make_graph(
        nodes,
        "balls",
        [helper.make_tensor_value_info(entry[0], TensorProto.FLOAT, entry[1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())
