"""A `Predictor` without a model: its answers are simple functions of the question.

FakePredictor(a_detector())                         # finds compact things denser than what is around them
FakePredictor(a_detector(), probability=identity)   # any function from windows to probabilities
FakePredictor(a_detector(), a_head(), verdict=(0.1, 0.6, 0.3))
FakePredictor(a_slice_model(), slices=seen)         # any function from a question to a 2-D model to its answer
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from inference.contract import Contract, Detection, Intensity, RoiSlices, SeriesLimits, TensorSpec
from inference.predictor import FloatTensor, check_answer, check_request

INTENSITY = Intensity(window_hu=(-1000.0, 400.0), mean_hu=-570.0, sd_hu=415.0)
DETECTION = Detection(
    roi_kji=(64, 64, 64),
    stride_kji=(32, 32, 32),
    threshold=0.4,
    nms_mm=5.0,
    minimum_diameter_mm=3.0,
    operating_score=0.5,
)
LIMITS = SeriesLimits(
    slice_thickness_mm=(0.5, 3.0),
    slice_spacing_mm=(0.4, 3.0),
    pixel_spacing_mm=(0.4, 1.0),
    minimum_slices=40,
    minimum_coverage_mm=100.0,
)
BLOB_MM = 21
"""`blobs` sees what is narrower than this along each axis."""


def blobs(windows: FloatTensor) -> FloatTensor:
    """0.8 in soft tissue (40 HU), 0.4 half way from lung (-850 HU) to it, for what is narrower than 21 mm all round.

    White top-hat: the value less its morphological opening by lines along the axes.
    """
    lines = ((1, 1, BLOB_MM, 1, 1), (1, 1, 1, BLOB_MM, 1), (1, 1, 1, 1, BLOB_MM))
    opened = np.max([ndimage.grey_opening(windows, line, mode="constant", cval=-9.0) for line in lines], axis=0)
    contrast = (40.0 + 850.0) / INTENSITY.sd_hu
    return np.asarray(np.clip(0.8 * (windows - opened) / contrast, 0.0, 1.0), np.float32)


def identity(windows: FloatTensor) -> FloatTensor:
    """The window itself."""
    return windows


def a_detector(**changes: Any) -> Contract:
    """A dense detector with two feature maps, the window at stride 1 and its means over 2 x 2 x 2 voxels."""
    contract = Contract(
        model="fake",
        version=1,
        kind="dense-detector",
        file="1/model.onnx",
        sha256="f0" * 32,
        inputs=(TensorSpec(name="window", shape=(1, 64, 64, 64)),),
        outputs=(
            TensorSpec(name="probability", shape=(1, 64, 64, 64)),
            TensorSpec(name="v1", shape=(1, 64, 64, 64)),
            TensorSpec(name="v2", shape=(1, 32, 32, 32)),
        ),
        spacing_mm=(1.0, 1.0, 1.0),
        intensity=INTENSITY,
        detection=DETECTION,
        limits=LIMITS,
        features=(("v1", 1, 2), ("v2", 2, 1)),
        head=None,
    )
    return dataclasses.replace(contract, **changes)


def a_head(**changes: Any) -> Contract:
    """A head for the features of `a_detector`: 8 of v1, 1 of v2 and the size."""
    contract = Contract(
        model="fake_head",
        version=4,
        kind="roi-head",
        file="4/model.onnx",
        sha256="e1" * 32,
        inputs=(TensorSpec(name="features", shape=(10,)),),
        outputs=(TensorSpec(name="probability", shape=(3,)),),
        classes=("benign", "malignant", "non-nodule"),
    )
    return dataclasses.replace(contract, **changes)


def a_slice_model(**changes: Any) -> Contract:
    """A 2-D model that outlines and rates images of 64 x 64 pixels of 0.7 mm."""
    contract = Contract(
        model="outliner",
        version=2,
        kind="slice-model",
        file="2/model.onnx",
        sha256="d2" * 32,
        inputs=(TensorSpec(name="image", shape=(1, 64, 64)),),
        outputs=(TensorSpec(name="probability", shape=(1, 64, 64)), TensorSpec(name="malignancy", shape=(1,))),
        system="outliner",
        roles=("segmentation", "malignancy"),
        intensity=INTENSITY,
        roi=RoiSlices(size_ji=(64, 64), pixel_spacing_mm=0.7, margin_mm=5.0, threshold=0.5),
        label_rule="made up",
    )
    return dataclasses.replace(contract, **changes)


Inputs = Mapping[str, FloatTensor]


def dense(model: str, inputs: Inputs, output: str) -> FloatTensor:
    """Probability: 0 in lung (-850 HU), 1 in soft tissue (40 HU), linear between. Malignancy: the mean of that."""
    hu = inputs["image"] * INTENSITY.sd_hu + INTENSITY.mean_hu
    probability = np.clip((hu + 850.0) / (40.0 + 850.0), 0.0, 1.0)
    return probability if output == "probability" else probability.mean(axis=(2, 3))


class FakePredictor:
    """Answers for the contracts that it is given and checks questions as the real predictors do.

    Parameters
    ----------
    contracts : models that it knows
    probability : from windows, shape (B, 1, k, j, i), to probabilities of that shape
    verdict : what a head says of everything, in the order of its classes
    slices : what a 2-D model says: from its name, its inputs and the name of an output to that output
    """

    def __init__(
        self,
        *contracts: Contract,
        probability: Callable[[FloatTensor], FloatTensor] = blobs,
        verdict: tuple[float, ...] = (0.6, 0.2, 0.2),
        slices: Callable[[str, Inputs, str], FloatTensor] = dense,
    ) -> None:
        self._contracts = {(contract.model, contract.version): contract for contract in contracts}
        self._probability, self._verdict, self._slices = probability, verdict, slices
        self.asked: list[tuple[str, Mapping[str, FloatTensor], tuple[str, ...]]] = []

    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        contract = self._contracts[model, version]
        extent = check_request(contract, inputs, outputs)
        self.asked.append((model, dict(inputs), tuple(outputs)))
        answer = {name: self._answer(contract, inputs, name) for name in outputs}
        for tensor in answer.values():
            tensor.setflags(write=False)
        check_answer(contract, extent, outputs, answer)
        return answer

    def _answer(self, contract: Contract, inputs: Mapping[str, FloatTensor], name: str) -> FloatTensor:
        if contract.kind == "slice-model":
            return np.array(self._slices(contract.model, inputs, name), np.float32)
        (values,) = inputs.values()
        if contract.kind == "roi-head":
            return np.tile(np.asarray(self._verdict, np.float32), (len(values), 1))
        if name == "v1":
            return values.copy()
        if name == "v2":
            cells = values.reshape(len(values), 1, 32, 2, 32, 2, 32, 2)
            return np.asarray(cells.mean(axis=(3, 5, 7)), np.float32)
        return np.array(self._probability(values), np.float32)
