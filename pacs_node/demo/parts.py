"""The parts that the demo starts besides the PACS: the phantom's generator and a node with settings of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from pacs_node.config import Config, Destination, load
from pacs_node.demo.pacs import free_port
from pacs_node.dimse import scu
from pacs_node.errors import NodeError

START_S = 90
QUIET_S = 2.0
"""A demo does not wait half a minute for late slices."""


def phantom(console: Console, folder: Path, seed: int) -> Path:
    """The folder of a synthetic chest CT, made on first use.

    The generator belongs to `training`, which the node must not import: it runs as a command.
    """
    place = folder / f"phantom-{seed}"
    if (place / "truth.json").exists():
        return place
    with console.status(f"making a synthetic chest CT (phantom, seed {seed}); a later demo uses it again"):
        arguments = ["--seed", str(seed), "--profile", "adult", "--out", str(place)]
        made = subprocess.run(
            [sys.executable, "-m", "training.data.phantom", *arguments], check=False, capture_output=True
        )
    if made.returncode:
        raise NodeError(f"the phantom could not be made: {made.stderr.decode(errors='replace')[-500:]}")
    return place


@contextmanager
def node(console: Console, run: Path, destination: Destination) -> Iterator[Config]:
    """A node in its embedded default that answers to one destination; stopped at the end.

    Raises
    ------
    NodeError : it does not answer a C-ECHO within a minute and a half
    """
    run.mkdir(parents=True, exist_ok=True)
    path, output = run / "node.toml", run / "node.log"
    path.write_text(_settings(run, destination))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PULMONODE_")}
    config = load(path, {})
    arguments = [sys.executable, "-m", "pacs_node", "node", "up", "--config", str(path)]
    with output.open("wb") as log_file:
        process = subprocess.Popen(arguments, stderr=log_file, stdout=log_file, env=environment)
    try:
        with console.status("starting the node: database, queue, workers, Triton"):
            _wait(config, process, output)
        console.print(f"Node      {config.scp.ae_title} on port {config.scp.port}, Triton at {config.triton.url}")
        yield config
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(run: Path, destination: Destination) -> str:
    return f"""\
data = "{(run / "data").resolve()}"

[scp]
port = {free_port()}
host = "127.0.0.1"

[settle]
quiet_s = {QUIET_S}

[triton]
url = "127.0.0.1:{free_port()}"

[[rule]]
name = "chest-ct"
destinations = ["{destination.name}"]

[[destination]]
name = "{destination.name}"
ae_title = "{destination.ae_title}"
host = "{destination.host}"
port = {destination.port}
"""


def _wait(config: Config, process: subprocess.Popen[bytes], output: Path) -> None:
    peer = scu.Peer(name="node", ae_title=config.scp.ae_title, host=config.scp.host, port=config.scp.port)
    deadline = time.monotonic() + START_S
    while True:
        try:
            scu.echo(peer, calling_ae_title="DEMO")
            return
        except NodeError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NodeError(f"the node did not start; its log is {output}") from None
            time.sleep(0.2)
