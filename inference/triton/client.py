"""The production door to the models: gRPC to NVIDIA Triton, with deadlines, bounded retries and checked answers.

Called from `pacs_node.node` and `pulmonode series analyse`; the server is the launcher's or the hospital's.
"""

from __future__ import annotations

import dataclasses
import math
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from inference.contract import Contract
from inference.errors import (
    ContractInvalid,
    InferenceError,
    InputRefused,
    LoadRefused,
    ModelNotFound,
    ModelOutputInvalid,
    PredictorBroken,
)
from inference.geometry import Shape
from inference.predictor import Extent, FloatTensor, check_answer, check_request, zeros
from inference.registry import SHA256_KEY, ModelRepository
from inference.triton.failures import error_of, pause_s
from inference.volume import HuArray

Answer = TypeVar("Answer")

LARGEST_MESSAGE_BYTES = 1_500_000_000
"""protobuf ends at 2 GiB; a message near it is refused only after it was serialised, which takes most of a minute."""

SEARCH = "pulmonode_search"
"""The model that searches a whole CT, if the server has it (`deploy/triton/README.md`)."""

SEARCH_S = 600.0
"""Deadline for a search; a GPU takes a second, a CPU half a minute."""

LOAD_S = 60.0
"""Deadline for loading a model."""

# Ping an idle connection so that a silent loss is noticed; look for a restarted server soon (gRPC itself: 20 to 120 s).
_CHANNEL = [
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files (PEM) for a server that wants to know its clients: who vouches for it, and our own certificate and key."""

    root_certificates: Path
    certificate_chain: Path
    private_key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a request is sent at most; random numbers in [0, 1) and waiting are for tests to replace."""

    attempts: int = 5
    draw: Callable[[], float] = random.random
    sleep: Callable[[float], None] = time.sleep


class TritonPredictor:
    """A `Predictor` on a Triton server.

    May be used by several threads at once. Not across `fork`: make it in the process that uses it.

    Parameters
    ----------
    url : "host:port" of its gRPC endpoint, or "unix:/path:port" of an embedded one
    models : the repository whose contracts the server has to keep
    deadline_s : for one attempt
    retries : of requests that failed for a reason that may pass
    tls : None for a server on this host or behind a tunnel
    control : header that opens a server whose model control is restricted
    is_embedded : the server is the one of the wheel, which must be watched with every answer, see `_see_it_in_step`
    """

    def __init__(  # noqa: PLR0913 - where, what, how long, how often, and three settings of the server
        self,
        url: str,
        models: ModelRepository,
        *,
        deadline_s: float = 60.0,
        retries: Retries = Retries(),
        tls: Tls | None = None,
        control: Mapping[str, str] | None = None,
        is_embedded: bool = False,
    ) -> None:
        files = {name: str(path) for name, path in dataclasses.asdict(tls).items()} if tls else {}
        self._client = triton.InferenceServerClient(url, ssl=tls is not None, channel_args=_CHANNEL, **files)
        self._models = models
        self._deadline_s = deadline_s
        self._retries = retries
        self._control = dict(control or {})
        self._is_embedded = is_embedded
        self._vouched: set[tuple[str, int]] = set()
        self._answered: dict[tuple[str, int], int] = {}
        self._searches: bool | None = None

    def infer(
        self, model: str, version: int, inputs: Mapping[str, FloatTensor], outputs: Sequence[str]
    ) -> dict[str, FloatTensor]:
        """Run a batch, as `Predictor.infer` says; on first use of a version see that the server has the same file."""
        return self._checked(self._models.contract(model, version), inputs, outputs, self._deadline_s)

    def search(self, detector: Contract, volume_hu: HuArray, starts: Sequence[Shape]) -> FloatTensor | None:
        """Let the server search a CT, as `Searcher.search` says; see first that it has the detector's very file."""
        if not self._can_search():
            return None
        if volume_hu.nbytes > LARGEST_MESSAGE_BYTES:
            raise InputRefused(f"a CT for {detector.model} makes a message of {volume_hu.nbytes / 1e9:.1f} GB")
        self._vouch(detector, self._deadline_s)
        places = np.asarray(starts, np.int32).reshape(-1, 3)
        return self._asked(lambda: self._search(detector, volume_hu, places))

    def _search(self, detector: Contract, volume_hu: HuArray, places: NDArray[np.int32]) -> FloatTensor:
        """The answer, if it is the one to this question: see `_see_it_in_step`."""
        question = np.array([secrets.randbits(63)], np.int64)
        reply = self._client.infer(
            SEARCH,
            [_sent("hu", volume_hu, "INT16"), _sent("starts", places, "INT32"), _sent("question", question, "INT64")],
            outputs=[triton.InferRequestedOutput(name) for name in ("probability", "question")],
            parameters={"contract": detector.to_json()},
            client_timeout=SEARCH_S,
        )
        kinds = {"probability": "FP16", "question": "INT64"}
        said = {t.name: _received(reply, t, kinds[t.name]) for t in reply.get_response().outputs if t.name in kinds}
        if said.keys() != kinds.keys() or not np.array_equal(said["question"], question):
            raise PredictorBroken(f"{SEARCH} answered another question")
        return _probability(said["probability"], volume_hu.shape)

    def _can_search(self) -> bool:
        """Whether the server has the model that searches; asked until there is an answer."""
        if self._searches is None:
            try:
                self._client.get_model_config(SEARCH, client_timeout=self._deadline_s)
                self._searches = True
            except InferenceServerException as refusal:
                if error_of(str(refusal.status()), refusal.message() or "").retryable:
                    return False  # what ails the server, the windows will meet, too
                self._searches = False
        return self._searches

    def is_live(self, within_s: float) -> bool:
        """Whether the server itself answers in time, whatever its models do."""
        try:
            return bool(self._client.is_server_live(client_timeout=within_s))
        except InferenceServerException:
            return False

    def canary(self, model: str, version: int, within_s: float | None = None) -> None:
        """See that the model really answers: "ready" is not enough, a model whose process died stays ready.

        Parameters
        ----------
        within_s : None for the deadline of all requests

        Raises
        ------
        InferenceError : as `infer`
        """
        contract = self._models.contract(model, version)
        self._vouched.discard((model, version))
        self._answered.pop((model, version), None)
        self._checked(contract, zeros(contract.inputs), [contract.outputs[0].name], within_s or self._deadline_s)

    def reload(self, model: str, within_s: float | None = None) -> None:
        """Start a model's process again; requests that come meanwhile wait. Needs explicit model control.

        A plain load leaves a dead process dead, so the model is unloaded first. Nothing waits for the end of that:
        Triton keeps a version whose process died under a request as "unloading" for good, and loads beside it.

        Parameters
        ----------
        within_s : for the answer that follows; None for the deadline of all requests

        Raises
        ------
        InferenceError
        """
        for ask in (self._client.unload_model, self._client.load_model):
            self._asked(partial(ask, model, headers=self._control, client_timeout=LOAD_S))
        for version in self._models.served_versions(model):
            self.canary(model, version, within_s)

    def load(self, model: str) -> None:
        """Make the server serve the versions that the model's configuration names, or none if it is gone.

        Requests that are under way end on the version that they asked for. Needs explicit model control.

        Raises
        ------
        LoadRefused : the server cannot or will not load it, and goes on with what it had
        PredictorUnavailable, PredictorTimeout
        """
        is_wanted = bool(self._models.served_versions(model))
        ask = self._client.load_model if is_wanted else self._client.unload_model
        try:
            self._asked(partial(ask, model, headers=self._control, client_timeout=LOAD_S))
        except (InputRefused, ModelNotFound, PredictorBroken) as error:
            raise LoadRefused(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _checked(
        self, contract: Contract, inputs: Mapping[str, FloatTensor], outputs: Sequence[str], deadline_s: float
    ) -> dict[str, FloatTensor]:
        extent = check_request(contract, inputs, outputs)
        _check_size(contract, extent, outputs)
        self._vouch(contract, deadline_s)
        before = self._answered.get((contract.model, contract.version), 0)
        answer = self._asked(lambda: self._infer(contract, inputs, outputs, deadline_s))
        if self._is_embedded:
            self._see_it_in_step(contract, before, deadline_s)
        check_answer(contract, extent, outputs, answer)
        return answer

    def _infer(
        self, contract: Contract, inputs: Mapping[str, FloatTensor], outputs: Sequence[str], deadline_s: float
    ) -> dict[str, FloatTensor]:
        reply = self._client.infer(
            contract.model,
            [_sent(name, tensor) for name, tensor in inputs.items()],
            str(contract.version),
            outputs=[triton.InferRequestedOutput(name) for name in outputs],
            client_timeout=deadline_s,
        )
        return {tensor.name: _received(reply, tensor) for tensor in reply.get_response().outputs}

    def _vouch(self, contract: Contract, deadline_s: float) -> None:
        """See once that server and contract mean the same file: what is evaluated is what is served."""
        key = (contract.model, contract.version)
        if key in self._vouched:
            return
        config = self._asked(
            lambda: self._client.get_model_config(key[0], str(key[1]), client_timeout=deadline_s).config
        )
        if config.parameters[SHA256_KEY.format(version=key[1])].string_value != contract.sha256:
            raise ContractInvalid(f"Triton serves another file as {key[0]} version {key[1]} than its contract names")
        self._vouched.add(key)

    def _see_it_in_step(self, contract: Contract, before: int, deadline_s: float) -> None:
        """See that the answer was to this request, and not to one before it.

        The server gives a model process up that shows no life for a second, and fails its request. If the process was
        only stopped, or starved, its answer comes later and is taken for that to the next request, of whomever, and so
        on until the model is loaded again. Such a failure is counted before the next request is begun, so an answer
        counts only if no request has failed since the model was loaded, and it was not loaded meanwhile.

        Parameters
        ----------
        before : requests that it had answered when this one was sent

        Raises
        ------
        PredictorBroken : nobody can tell
        """
        key = (contract.model, contract.version)
        answer = self._asked(
            lambda: self._client.get_inference_statistics(key[0], str(key[1]), client_timeout=deadline_s)
        )
        counts = answer.model_stats[0].inference_stats
        self._answered[key] = counts.success.count
        if counts.fail.count or counts.success.count < before:
            raise PredictorBroken(
                f"{key[0]} version {key[1]} failed, or was loaded again; its answer may be to another request"
            )

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        attempt = 1
        while True:
            try:
                return ask()
            except InferenceServerException as refusal:
                error, wait_s = self._judged(refusal, attempt)
                if wait_s is None:
                    raise error from refusal
            self._retries.sleep(wait_s)
            attempt += 1

    def _judged(self, refusal: InferenceServerException, attempt: int) -> tuple[InferenceError, float | None]:
        error = error_of(str(refusal.status()), refusal.message() or "")
        return error, pause_s(error, attempt, self._retries.attempts, self._retries.draw())


def _check_size(contract: Contract, extent: Extent, outputs: Sequence[str]) -> None:
    for specs in (contract.inputs, [spec for spec in contract.outputs if spec.name in outputs]):
        size = sum(4 * math.prod(extent.shape(spec)) for spec in specs)
        if size > LARGEST_MESSAGE_BYTES:
            raise InputRefused(f"a batch of {extent.batch} for {contract.model} makes a message of {size / 1e9:.1f} GB")


def _sent(name: str, tensor: NDArray[Any], kind: str = "FP32") -> Any:
    sent = triton.InferInput(name, list(tensor.shape), kind)
    sent.set_data_from_numpy(tensor)
    return sent


def _probability(values: FloatTensor, shape: tuple[int, ...]) -> FloatTensor:
    """The answer of a search, if it is one; a NaN is neither below 0 nor above 1, but is not between them either."""
    if values.shape != shape or not ((values >= 0) & (values <= 1)).all():
        raise ModelOutputInvalid(f"{SEARCH} answered what is no probability of shape {shape}")
    return values.astype(np.float32)


def _received(reply: Any, tensor: Any, kind: str = "FP32") -> NDArray[Any]:
    if tensor.datatype != kind:  # what else a server may say, the client library decodes carelessly
        raise ModelOutputInvalid(f"{tensor.name} came back as {tensor.datatype}, not as {kind}")
    try:
        values: NDArray[Any] = reply.as_numpy(tensor.name)
    except ValueError as error:
        raise ModelOutputInvalid(f"{tensor.name} came back with fewer or more bytes than its shape says") from error
    return values
