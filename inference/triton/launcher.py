"""A real Triton on this machine, from the wheel: no container, no GPU. Called from `pulmonode node up` and from tests.

It serves the model repository as it is, on loopback, and ends with the process that started it. Whoever may load models
may make the server run code, so it takes orders only with a key that is new at every start. In production Triton runs
elsewhere and nothing here is used.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from inference.errors import InferenceError, PredictorBroken, PredictorUnavailable
from inference.registry import ModelRepository
from inference.triton.client import Retries, TritonPredictor
from inference.triton.runtime import Runtime
from inference.triton.wheel import Wheel, find_wheel, lay_out_backends

READY_S = 60.0
"""A server whose models do not answer by then has failed to start."""
EXIT_S = 5
"""Seconds that the server gives its models to end when its parent has died."""

_KEY_NAME, _KEY_FILE = "pulmonode", "control-key"

# Becomes the server, after asking for SIGTERM when the parent dies. A program rather than a `preexec_fn`, which may
# deadlock in a process that has threads.
_UNTIL_PARENT_DIES = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.getppid() == int(sys.argv[1]) or sys.exit("the parent has died")
os.execv(sys.argv[2], sys.argv[2:])
"""


class TritonServer:
    """A running server and its models; also a context manager that stops it. Made by `launch`.

    Parameters
    ----------
    url : where its clients find it
    control : header that opens its model control
    process : the server
    log : what it writes
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], models: ModelRepository, runtime: Runtime) -> None:
        self.url = url
        self.control = control_of(runtime.folder)
        self.process = process
        self.log = runtime.log
        self._models = models
        self._runtime = runtime
        self._predictor = TritonPredictor(
            url, models, deadline_s=READY_S, retries=Retries(attempts=1), control=self.control, is_embedded=True
        )

    @property
    def is_running(self) -> bool:
        """Whether the server process lives; its models may be dead all the same."""
        return self.process.poll() is None

    def is_live(self, within_s: float) -> bool:
        """Whether it answers in time, whatever its models do."""
        return self._predictor.is_live(within_s)

    def wait_until_ready(self) -> None:
        """Wait until every version that is served of every model answers.

        Raises
        ------
        InferenceError : the server ended, a model cannot be loaded or answers wrongly, or `READY_S` have passed
        """
        until = time.monotonic() + READY_S
        for model, version in self._models.served():
            while not self._answers(model, version, until):
                time.sleep(0.05)

    def reload(self, within_s: float = READY_S) -> tuple[str, ...]:
        """Start the dead model processes again; the other models go on meanwhile.

        Parameters
        ----------
        within_s : time for the answer of each model

        Returns
        -------
        names of the models that were dead

        Raises
        ------
        InferenceError : a model stays dead; or none is dead, and one does not answer as it should
        """
        dead, errors = set(), []
        for model, version in self._models.served():
            try:
                self._predictor.canary(model, version, within_s)
            except PredictorBroken:
                dead.add(model)
            except InferenceError as error:  # of one version; others may be dead all the same
                errors.append(error)
        for model in sorted(dead):
            self._predictor.reload(model, within_s)
        if errors and not dead:
            raise errors[0]
        return tuple(sorted(dead))

    def kill(self) -> None:
        """End the server process; may be called while another thread waits for an answer, which then fails at once."""
        self.process.kill()

    def stop(self) -> None:
        """Kill the server and all that belongs to it: it holds nothing that lasts, and waiting for it takes seconds."""
        self._predictor.close()
        self.kill()
        self.process.wait()
        self._runtime.leave()

    def _answers(self, model: str, version: int, until: float) -> bool:
        try:
            self._predictor.canary(model, version)
        except PredictorBroken:
            raise
        except PredictorUnavailable as error:
            if self.is_running and time.monotonic() < until:
                return False
            cause = _complaint(self.log) or error
            raise PredictorUnavailable(f"Triton did not start: {cause}; see {self.log}") from error
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def launch(
    repository: Path, runtime: Path, *, host: str = "127.0.0.1", port: int = 0, threads: int = 2
) -> TritonServer:
    """Start a server as `start` does, and wait until every version that is to be served answers.

    Raises
    ------
    InferenceError : it cannot be started, or a model does not answer as its contract says
    """
    server = start(repository, runtime, host=host, port=port, threads=threads)
    try:
        server.wait_until_ready()
    except BaseException:
        server.stop()
        raise
    return server


def start(repository: Path, runtime: Path, *, host: str = "127.0.0.1", port: int = 0, threads: int = 2) -> TritonServer:
    """Start a server for every version of a repository that is to be served; it does not answer yet.

    The server gets SIGTERM when the thread that called this ends: call it from one that lives as long as it shall.

    Parameters
    ----------
    repository : the model repository; only read
    runtime : folder of this server's own, for its log and backends; one server at a time may use it. What a killed
        predecessor left is removed first
    host : address to listen on, without TLS, so keep to loopback, or to "unix:/path", a socket that only this user may
        open
    port : 0 chooses a free one; with a Unix socket it is part of the path
    threads : for each model

    Raises
    ------
    PredictorUnavailable : it cannot be started; the message says why and what to do
    """
    wheel, models = find_wheel(), ModelRepository(repository)
    own = Runtime(runtime)  # ends what a node that was killed has left running, perhaps at this port
    try:
        port = _usable_port(host, port)
        lay_out_backends(wheel, own.backends)
        process = _started(wheel, own, [*_flags(models, own, host, port), _restricted(own.folder)], threads)
    except BaseException:
        own.leave()
        raise
    return TritonServer(f"{host}:{port}", process, models, own)


def control_of(runtime: Path) -> dict[str, str]:
    """The header that opens the model control of the server of this folder, for its user only; empty without one."""
    try:
        return {f"triton-grpc-protocol-{_KEY_NAME}": (runtime / _KEY_FILE).read_text()}
    except OSError:
        return {}


def _restricted(runtime: Path) -> str:
    """The flag that asks for a new key, which is kept in a file. Triton reads it from nowhere but its arguments."""
    key = secrets.token_urlsafe(24)
    path = runtime / _KEY_FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(key)
    return f"--grpc-restricted-protocol=model-repository,shared-memory,trace,logging:{_KEY_NAME}={key}"


def _flags(models: ModelRepository, runtime: Runtime, host: str, port: int) -> list[str]:
    return [
        f"--model-repository={models.path.resolve()}",
        f"--backend-directory={runtime.backends}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in sorted({model for model, _ in models.served()})),
        "--strict-readiness=false",
        "--disable-auto-complete-config",  # it starts every model twice
        f"--exit-timeout-secs={EXIT_S}",
        f"--grpc-address={host}",
        f"--grpc-port={port}",
        "--grpc-http2-min-recv-ping-interval-without-data=10000",
        "--allow-http=false",
        "--allow-metrics=false",
        "--pinned-memory-pool-byte-size=0",
        f"--backend-config=python,shm-region-prefix-name={runtime.name}",
    ]


def _started(wheel: Wheel, runtime: Runtime, flags: list[str], threads: int) -> subprocess.Popen[bytes]:
    if runtime.log.exists():
        runtime.log.replace(runtime.log.with_suffix(".log.1"))
    guard = [sys.executable, "-I", "-S", "-c", _UNTIL_PARENT_DIES, str(os.getpid())]
    own = {"PULMONODE_INTRA_OP_THREADS": str(threads), "OMP_NUM_THREADS": "1"}
    with runtime.log.open("wb") as stream:
        return subprocess.Popen(
            [*guard, str(wheel.server), *flags],
            env=wheel.environment() | own,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal is for the node, which then stops the server
        )


def _usable_port(host: str, port: int) -> int:
    if host.startswith("unix:"):
        return port or 1
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PredictorUnavailable(
                f"{host}:{port} cannot be listened on ({error.strerror}); choose another port in triton.url"
            ) from error
        return int(probe.getsockname()[1])


def _complaint(log: Path) -> str:
    """The last line in which the server names an error, other than that there is no GPU."""
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith(("E", "error:")) and "CudaDriverHelper" not in line]
    return errors[-1] if errors else ""
