"""Processes that this one keeps alive: they die with it, however it dies, and one that dies alone is started again."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pacs_node import log
from pacs_node.errors import ConfigInvalid

RESTART_S = 1.0
"""A child that died is started again after this time."""
REFUSED = 2
"""Exit code of a child whose settings cannot work, such as a port that is taken: starting it again would not help."""
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Child:
    """A process of the node, and how to start it."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = field(default=0.0)

    def keep_alive(self) -> None:
        """Start it if it does not run; raises ConfigInvalid if it refused its settings."""
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None:
            log.event("process_died", process=self.name, exit_code=self.process.returncode)
            if self.process.returncode == REFUSED:
                raise ConfigInvalid(f"`node {self.name}` refused its settings; what it said stands above")
            self.process = None
        if time.monotonic() - self.started_at >= RESTART_S:
            self.started_at = time.monotonic()
            self.process = subprocess.Popen(self.arguments, env=self.environment, preexec_fn=die_with_parent)
            log.event("process_started", process=self.name, pid=self.process.pid)

    def terminate(self) -> None:
        """Tell it to stop."""
        if self.process is not None:
            self.process.terminate()

    def wait(self, timeout_s: float | None) -> None:
        """Wait for its end, and see to it after this time; None waits for ever."""
        if self.process is None:
            return
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def child(name: str, config_file: Path | None, settings: Mapping[str, str]) -> Child:
    """`pulmonode node NAME` as a child.

    Parameters
    ----------
    settings : for its environment, above that of this process
    """
    arguments = [sys.executable, "-m", "pacs_node", "node", name]
    if config_file is not None:
        arguments += ["--config", str(config_file)]
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    return Child(name=name, arguments=arguments, environment=quiet | dict(os.environ) | dict(settings))


def end(children: Iterable[Child], timeout_s: float | None) -> None:
    """Tell all to stop, then wait so long for all of them together; None for ever."""
    for one in children:
        one.terminate()
    ends_at = None if timeout_s is None else time.monotonic() + timeout_s
    for one in children:
        one.wait(None if ends_at is None else max(ends_at - time.monotonic(), 0))


def die_with_parent() -> None:
    """Have the kernel tell this process to stop when the one that started it is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
