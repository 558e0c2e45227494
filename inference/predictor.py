"""How the pipeline asks a model, and what question and answer must be like.

`Predictor` is implemented by `inference.triton`, `inference.onnx`, `training.served` and a fake; the first two
call the checks, so that both refuse the same things with the same errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from inference.contract import Contract, TensorSpec
from inference.errors import InputRefused, ModelOutputInvalid
from inference.geometry import Shape
from inference.volume import HuArray

FloatTensor = NDArray[np.float32]


class Predictor(Protocol):
    """Runs one batch through one version of one model."""

    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        """Run a batch.

        Parameters
        ----------
        model, version : a folder of the model repository and one of its numbers
        inputs : tensors by name, first axis = batch
        outputs : names of the tensors wanted; others are not computed or not sent

        Returns
        -------
        exactly the tensors asked for, float32, finite, read-only, with the batch size of the inputs

        Raises
        ------
        PredictorUnavailable, PredictorTimeout, PredictorBroken : may pass; try again later
        InputRefused, ModelNotFound, ModelOutputInvalid : will not pass
        """
        ...


@runtime_checkable
class Searcher(Protocol):
    """A predictor whose server may search a whole CT by itself, so that it crosses the wire once."""

    def search(self, detector: Contract, volume_hu: HuArray, starts: Sequence[Shape]) -> FloatTensor | None:
        """The probability of `inference.search` in the lungs' box of a CT; None if the server has no such model.

        Parameters
        ----------
        volume_hu : shape (k, j, i), at the detector's spacing
        starts : first voxels of the windows that hold lung

        Raises
        ------
        InferenceError : as `Predictor.infer`
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How large a question is.

    Parameters
    ----------
    batch : cases
    window_kji, roi_kji : of a one-pass detector, the window in the question and the one in its contract; else None
    """

    batch: int
    window_kji: Shape | None = None
    roi_kji: Shape | None = None

    def shape(self, spec: TensorSpec) -> tuple[int, ...]:
        """Of a tensor, batch axis first: its axes grow as the window does."""
        if self.window_kji is None or self.roi_kji is None:
            return (self.batch, *spec.shape)
        axes = zip(spec.shape[1:], self.window_kji, self.roi_kji, strict=True)
        return (self.batch, spec.shape[0], *(length * asked // roi for length, asked, roi in axes))


def check_request(contract: Contract, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]) -> Extent:
    """Refuse what the contract does not allow.

    Raises
    ------
    InputRefused : a name, a shape or a type is another than in the contract, or the batch sizes differ
    """
    what = f"{contract.model} version {contract.version}"
    names = {spec.name for spec in contract.inputs}
    if set(inputs) != names:
        raise InputRefused(f"{what} takes {sorted(names)}, not {sorted(inputs)}")
    unknown = set(outputs) - {spec.name for spec in contract.outputs}
    if unknown or not outputs:
        raise InputRefused(f"{what} has no output {sorted(unknown)}" if unknown else f"{what}: no output is asked for")
    extent = _extent(contract, inputs[contract.inputs[0].name].shape)
    for spec in contract.inputs:
        tensor = inputs[spec.name]
        if tensor.dtype != np.float32 or tensor.shape != extent.shape(spec) or not extent.batch:
            expected = f"(batch, *{spec.shape}){' or longer' if contract.is_one_pass else ''}"
            raise InputRefused(f"{what} takes {spec.name} as float32 {expected}, not {_described(tensor)}")
    return extent


def _extent(contract: Contract, shape: tuple[int, ...]) -> Extent:
    """What a question must be that begins with a tensor of this shape."""
    batch = shape[0] if shape else 0
    detection = contract.detection
    if detection is None or not detection.is_one_pass or len(shape) != len(contract.inputs[0].shape) + 1:
        return Extent(batch=batch)
    lengths = zip(shape[2:], detection.roi_kji, strict=True)
    k, j, i = (roi + max(0, length - roi) // contract.step * contract.step for length, roi in lengths)
    return Extent(batch=batch, window_kji=(k, j, i), roi_kji=detection.roi_kji)


def check_answer(contract: Contract, extent: Extent, outputs: Sequence[str], answer: Mapping[str, FloatTensor]) -> None:
    """Refuse an answer that is not what was asked for.

    Parameters
    ----------
    contract : of the model that answered
    extent : of the question
    outputs : names that were asked for
    answer : what came back

    Raises
    ------
    ModelOutputInvalid : a tensor is missing, of another shape or type, or not finite
    """
    what = f"{contract.model} version {contract.version}"
    if set(answer) != set(outputs):
        raise ModelOutputInvalid(f"{what} answered {sorted(answer)} instead of {sorted(outputs)}")
    shapes = {spec.name: extent.shape(spec) for spec in contract.outputs}
    for name, tensor in answer.items():
        if tensor.dtype != np.float32 or tensor.shape != shapes[name]:
            raise ModelOutputInvalid(f"{what} answered {name} as {_described(tensor)}, not {shapes[name]}")
        if not np.isfinite(tensor).all():
            raise ModelOutputInvalid(f"{what} answered {name} with a value that is not finite")


def canary(predictor: Predictor, contract: Contract) -> None:
    """See that a model answers the smallest question; raises InferenceError as `Predictor.infer`."""
    predictor.infer(contract.model, contract.version, zeros(contract.inputs), [contract.outputs[0].name])


def zeros(specs: Sequence[TensorSpec]) -> dict[str, FloatTensor]:
    """A batch of one that is all zeros: the smallest question that a model must be able to answer."""
    return {spec.name: np.zeros((1, *spec.shape), np.float32) for spec in specs}


def _described(tensor: FloatTensor) -> str:
    return f"{tensor.dtype} {tensor.shape}"
