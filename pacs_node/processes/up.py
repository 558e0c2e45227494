"""Everything in the foreground: Triton from its wheel, the receiving process and the workers, each kept alive."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from inference.errors import PredictorUnavailable
from inference.registry import ModelRepository
from inference.triton import TritonServer, start
from inference.triton.wheel import find_wheel
from pacs_node import log
from pacs_node.config import Config
from pacs_node.node import build
from pacs_node.processes.children import child, end
from pacs_node.processes.starting import awaited
from pacs_node.processes.triton import Keeper
from pacs_node.steps.pipelines import check_rules

STOP_S = 25.0
"""What a process has to end: `serve` takes up to 5 s for datasets, 2 s to abort, 2 s for reports on commitment, twice
5 s for the index, and the audit trail last."""


def up(config: Config, config_file: Path | None, stop: threading.Event) -> None:
    """Run the node until `stop` is set.

    Raises
    ------
    InferenceError, NodeError : a part cannot be started, or refuses its settings
    """
    config.data.mkdir(parents=True, exist_ok=True)
    check_rules(ModelRepository(config.models), config.rule)
    awaited(lambda: build(config), stop).database.close()
    mode = _mode(config)
    settings = {"PULMONODE_TRITON__MODE": mode}
    children = [child("serve", config_file, settings), child("work", config_file, settings)]
    triton = Keeper(lambda: _start(config)) if mode == "embedded" else None
    try:
        while not stop.wait(0.2):
            for one in children:
                one.keep_alive()
            if triton is not None:
                triton.check()
    finally:
        end(children, STOP_S)
        if triton is not None:
            triton.stop()
        log.event("node_stopped")


def _mode(config: Config) -> str:
    """Who runs the models: the workers themselves where the embedded server does not run on this machine."""
    if config.triton.mode == "embedded":
        try:
            find_wheel()
        except PredictorUnavailable as error:
            log.event("triton_not_started", code=error.code, mode="onnx")
            sys.stderr.write(f"pulmonode: {error}; meanwhile the workers run the models\n")
            return "onnx"
    return config.triton.mode


def _start(config: Config) -> TritonServer:
    host, _, port = config.triton.url.rpartition(":")
    return start(config.models, config.triton_runtime, host=host, port=int(port), threads=config.triton.threads)
