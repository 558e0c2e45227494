"""The models of a repository in this process: the ONNX files that Triton serves, without a server.

For `pulmonode series analyse`, for `triton.mode = "onnx"`, for publishing, and for tests.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from inference.contract import Contract
from inference.engine import Engine, is_exact
from inference.errors import ContractInvalid, PredictorBroken
from inference.predictor import FloatTensor, check_answer, check_request
from inference.registry import ModelRepository


class OnnxPredictor:
    """A `Predictor` without a server. May be used by several threads at once.

    Parameters
    ----------
    threads : for each model
    exact : in float32 throughout, as torch; else as it is served
    """

    def __init__(self, models: ModelRepository, *, threads: int = 1, exact: bool = False) -> None:
        self._models = models
        self._threads = threads
        self._exact = exact
        self._engines: dict[tuple[str, int], Engine] = {}
        self._loading = threading.Lock()

    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        """Run a batch, as `Predictor.infer` says; the model is loaded on first use, and its hash checked."""
        contract = self._models.contract(model, version)
        extent = check_request(contract, inputs, outputs)
        try:
            answer = self._engine(contract).run(inputs, outputs)
        except PredictorBroken as error:
            raise PredictorBroken(f"{model} version {version} failed: {error}") from error
        for tensor in answer.values():
            tensor.setflags(write=False)  # as they come from Triton
        check_answer(contract, extent, outputs, answer)
        return answer

    def _engine(self, contract: Contract) -> Engine:
        key = (contract.model, contract.version)
        with self._loading:
            if key not in self._engines:
                self._engines[key] = self._loaded(contract)
            return self._engines[key]

    def _loaded(self, contract: Contract) -> Engine:
        artefact = self._models.artefact(contract.model, contract.version)
        try:
            return Engine(artefact, threads=self._threads, is_exact=self._exact or is_exact(contract))
        except ContractInvalid as error:
            raise ContractInvalid(f"{contract.model} version {contract.version}: {error}") from error
