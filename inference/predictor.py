"""How the pipeline asks a model, and what question and answer must be like.

`Predictor` is implemented by `inference.triton`, `inference.onnx`, `training.served` and a fake; the first two
call the checks, so that both refuse the same things with the same errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def check_request(contract: Contract, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]) -> int:
    """Refuse what the contract does not allow.

    Returns
    -------
    the batch size

    Raises
    ------
    InputRefused : a name, a shape or a type is another than in the contract, or the batch sizes differ
    """
    what = f"{contract.model} version {contract.version}"
    shapes = {spec.name: spec.shape for spec in contract.inputs}
    if set(inputs) != set(shapes):
        raise InputRefused(f"{what} takes {sorted(shapes)}, not {sorted(inputs)}")
    unknown = set(outputs) - {spec.name for spec in contract.outputs}
    if unknown or not outputs:
        raise InputRefused(f"{what} has no output {sorted(unknown)}" if unknown else f"{what}: no output is asked for")
    batch = next(iter(inputs.values())).shape[:1]
    for name, tensor in inputs.items():
        if tensor.dtype != np.float32 or tensor.shape != (*batch, *shapes[name]) or not all(batch):
            raise InputRefused(f"{what} takes {name} as float32 (batch, *{shapes[name]}), not {_described(tensor)}")
    return int(batch[0])


def check_answer(contract: Contract, batch: int, outputs: Sequence[str], answer: Mapping[str, FloatTensor]) -> None:
    """Refuse an answer that is not what was asked for.

    Parameters
    ----------
    contract : of the model that answered
    batch : size of the batch that was sent
    outputs : names that were asked for
    answer : what came back

    Raises
    ------
    ModelOutputInvalid : a tensor is missing, of another shape or type, or not finite
    """
    what = f"{contract.model} version {contract.version}"
    if set(answer) != set(outputs):
        raise ModelOutputInvalid(f"{what} answered {sorted(answer)} instead of {sorted(outputs)}")
    shapes = {spec.name: spec.shape for spec in contract.outputs}
    for name, tensor in answer.items():
        if tensor.dtype != np.float32 or tensor.shape != (batch, *shapes[name]):
            raise ModelOutputInvalid(f"{what} answered {name} as {_described(tensor)}, not {(batch, *shapes[name])}")
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
