"""How the pipeline asks a model. Implemented by `inference.triton`, `inference.onnx`, `training.torch_predictor` and a fake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
        exactly the tensors asked for, float32, finite, with the batch size of the inputs

        Raises
        ------
        PredictorUnavailable, PredictorTimeout, PredictorBroken : may pass; try again later
        InputRefused, ModelNotFound, ModelOutputInvalid : will not pass
        """
        ...
