"""Asking 2-D models: intensity of the images, and models that answer each other's inputs first.

Called from `inference.outline`, `inference.rating` and `training.evaluation`: what is evaluated is what is served.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.contract import Contract
from inference.errors import ContractInvalid
from inference.intensity import normalise
from inference.predictor import FloatTensor, Predictor

BATCH = 16


def answer(
    chain: Sequence[Contract], images_hu_NJI: FloatTensor, predictor: Predictor, outputs: Sequence[str]
) -> dict[str, FloatTensor]:
    """What the last model of a chain says of some images.

    Parameters
    ----------
    chain : the model that is asked, after all models that feed it
    images_hu_NJI : shape (n, j, i), HU, of the size in the contract's `roi`
    outputs : of the last model

    Returns
    -------
    the outputs by name, first axis = image

    Raises
    ------
    ContractInvalid : a model is fed by one that is not in the chain
    PredictorUnavailable, InputRefused, ModelNotFound, ModelOutputInvalid : see `inference.predictor`
    """
    parts = [
        _answer(chain, images_hu_NJI[first : first + BATCH], predictor, outputs)
        for first in range(0, len(images_hu_NJI), BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in outputs}


def _answer(
    chain: Sequence[Contract], images_hu_NJI: FloatTensor, predictor: Predictor, outputs: Sequence[str]
) -> dict[str, FloatTensor]:
    known: dict[tuple[str, str], FloatTensor] = {}
    for contract in chain:
        wanted = outputs if contract is chain[-1] else _fed(chain, contract.model)
        answers = predictor.infer(contract.model, contract.version, _inputs(contract, images_hu_NJI, known), wanted)
        known |= {(contract.model, name): values for name, values in answers.items()}
    return {name: known[chain[-1].model, name] for name in outputs}


def _fed(chain: Sequence[Contract], model: str) -> list[str]:
    """The outputs of a model that others of the chain take."""
    return sorted({feed.output for contract in chain for feed in contract.feeds if feed.model == model})


def _inputs(
    contract: Contract, images_hu_NJI: FloatTensor, known: dict[tuple[str, str], FloatTensor]
) -> dict[str, FloatTensor]:
    if contract.intensity is None:
        raise ContractInvalid(f"{contract.model} does not say which intensities it takes")
    try:
        inputs = {feed.input: known[feed.model, feed.output] for feed in contract.feeds}
    except KeyError as error:
        raise ContractInvalid(f"{contract.model} is fed by a model that was not asked: {error}") from error
    values_N1JI = images_hu_NJI[:, None].astype(np.float32)
    normalise(values_N1JI, contract.intensity)
    return inputs | {spec.name: values_N1JI for spec in contract.inputs if spec.name not in inputs}
