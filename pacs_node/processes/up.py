"""Everything in the foreground: Triton from its wheel, the receiving process and the working process, each kept alive.

The children die with this process, however it dies. A child that dies alone is started again.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from inference.errors import InferenceError, PredictorUnavailable
from inference.triton import TritonServer, launch
from inference.triton.wheel import find_wheel
from pacs_node import log
from pacs_node.config import Config
from pacs_node.errors import ConfigInvalid
from pacs_node.node import build
from pacs_node.steps.pipelines import check_rules

RESTART_S = 1.0
"""A child that died is started again after this time."""
CANARY_S = 20.0
"""How often Triton has to prove that its models answer."""
REFUSED = 2
"""Exit code of a child whose settings cannot work, such as a port that is taken: starting it again would not help."""
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class _Child:
    """A process of the node, and how to start it."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = field(default=0.0)

    def keep_alive(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None:
            log.event("process_died", process=self.name, exit_code=self.process.returncode)
            if self.process.returncode == REFUSED:
                raise ConfigInvalid(f"`node {self.name}` refused its settings; what it said stands above")
            self.process = None
        if time.monotonic() - self.started_at >= RESTART_S:
            self.started_at = time.monotonic()
            self.process = subprocess.Popen(self.arguments, env=self.environment, preexec_fn=_die_with_parent)
            log.event("process_started", process=self.name, pid=self.process.pid)

    def terminate(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def wait(self, timeout_s: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def up(config: Config, config_file: Path | None, stop: threading.Event) -> None:
    """Run the node until `stop` is set.

    Raises
    ------
    InferenceError, NodeError : a part cannot be started, or refuses its settings
    """
    config.data.mkdir(parents=True, exist_ok=True)
    node = build(config)
    node.database.close()
    check_rules(node.models, config.rule)
    mode = _mode(config)
    children = [_child(name, config_file, mode) for name in ("serve", "work")]
    triton = _Embedded(config) if mode == "embedded" else None
    try:
        for child in children:
            child.keep_alive()
        if triton is not None:
            triton.start()
        while not stop.wait(0.2):
            for child in children:
                child.keep_alive()
            if triton is not None:
                triton.keep_alive()
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(timeout_s=15)
        if triton is not None:
            triton.stop()
        log.event("node_stopped")


def _mode(config: Config) -> str:
    """Who runs the models: ONNX Runtime in the workers where the embedded server does not run on this machine."""
    if config.triton.mode == "embedded":
        try:
            find_wheel()
        except PredictorUnavailable as error:
            log.event("triton_not_started", code=error.code, mode="onnx")
            sys.stderr.write(f"pulmonode: {error}; meanwhile ONNX Runtime runs the models\n")
            return "onnx"
    return config.triton.mode


class _Embedded:
    """The Triton that comes with the node; its canary runs in a thread, because a broken model answers slowly."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._server: TritonServer | None = None
        self._examined = time.monotonic()
        self._examining: threading.Thread | None = None

    def start(self) -> None:
        host, _, port = self._config.triton.url.rpartition(":")
        self._server = launch(
            self._config.models,
            self._config.data / "triton",
            host=host,
            port=int(port),
            threads=self._config.triton.threads,
        )
        log.event("triton_started", port=int(port))

    def keep_alive(self) -> None:
        if self._server is None or not self._server.is_running:
            log.event("process_died", process="triton")
            self.stop()
            self._quietly(self.start)
        elif self._is_due():
            self._examined = time.monotonic()
            self._examining = threading.Thread(target=self._examine, daemon=True)
            self._examining.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _is_due(self) -> bool:
        is_busy = self._examining is not None and self._examining.is_alive()
        return not is_busy and time.monotonic() - self._examined >= CANARY_S

    def _examine(self) -> None:
        server = self._server
        if server is None:
            return
        try:
            for model in server.reload():
                log.event("model_reloaded", model=model)
        except InferenceError as error:
            log.event("triton_canary_failed", code=error.code)

    def _quietly(self, act: Callable[[], object]) -> None:
        try:
            act()
        except InferenceError as error:
            log.event("triton_not_restarted", code=error.code)


def _child(name: str, config_file: Path | None, mode: str) -> _Child:
    arguments = [sys.executable, "-m", "pacs_node", "node", name]
    if config_file is not None:
        arguments += ["--config", str(config_file)]
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    settings = {"PULMONODE_TRITON__MODE": mode}
    return _Child(name=name, arguments=arguments, environment=quiet | dict(os.environ) | settings)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
