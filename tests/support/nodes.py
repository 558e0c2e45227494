"""A whole node as its users run it: `pulmonode node up` in a process of its own, with settings of the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from pacs_node.archive.queries.machine import Machine, count_states
from pacs_node.archive.session import Database
from pacs_node.config import Config, Destination, load
from pacs_node.demo.pacs import free_port
from pacs_node.dimse import scu
from pacs_node.errors import NodeError
from pacs_node.node import peer_of
from tests.support.detectors import ball_repository

T = TypeVar("T")


def eventually(look: Callable[[], T], timeout_s: float = 60, every_s: float = 0.1) -> T:
    """What `look` returns as soon as it is true; the only waiting that tests do."""
    deadline = time.monotonic() + timeout_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {timeout_s} s; last seen: {seen!r}")
        time.sleep(every_s)


@dataclass(slots=True, kw_only=True)
class RunningNode:
    """A node that runs, or ran: its settings, its process and its log."""

    config_file: Path
    config: Config
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def peer(self) -> scu.Peer:
        """The node as others see it."""
        return scu.Peer(name="node", ae_title=self.config.scp.ae_title, host="127.0.0.1", port=self.config.scp.port)

    def asked(self, *arguments: str) -> Any:
        """What `pulmonode ... --json` prints for this node."""
        done = self.told(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def told(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`pulmonode ...` for this node, whatever comes of it."""
        return pulmonode(*arguments, "--config", str(self.config_file))

    def states(self, of: Machine) -> dict[str, int]:
        """How many rows are in which state, from the database itself: `node status` takes a second to start."""
        database = Database(self.config.database_url)
        try:
            with database.transaction() as tx:
                return count_states(tx, of)
        finally:
            database.close()

    def send(self, paths: Sequence[Path], calling_ae_title: str = "CT1") -> None:
        """Send files as a scanner would."""
        scu.store(self.peer, paths, calling_ae_title=calling_ae_title)

    def processes(self, verb: str) -> list[psutil.Process]:
        """The processes of `node serve` or `node work`, children included."""
        children = psutil.Process(self.process.pid).children(recursive=False)
        found = [child for child in children if child.is_running() and verb in child.cmdline()]
        return [process for child in found for process in [child, *child.children(recursive=True)]]


def pulmonode(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "pacs_node", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())


def kill(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL them all."""
    for process in processes:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallPacs:
    """The small PACS of the project in a process of its own."""

    destination: Destination
    folder: Path

    def held(self) -> list[str]:
        """The SOP Instance UIDs that it was sent."""
        return [path.stem for path in self.folder.glob("*.dcm")]


@contextmanager
def small_pacs(folder: Path, *, name: str = "pacs", port: int = 0) -> Iterator[SmallPacs]:
    """Run a PACS that takes everything until the block ends."""
    destination = Destination(name=name, ae_title="TESTPACS", host="127.0.0.1", port=port or free_port())
    arguments = ["--folder", str(folder), "--port", str(destination.port), "--ae-title", destination.ae_title]
    process = subprocess.Popen([sys.executable, "-m", "pacs_node.dimse.pacs", *arguments])
    try:
        eventually(lambda: _echoes(peer_of(destination)))
        yield SmallPacs(destination=destination, folder=folder)
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def running_node(
    folder: Path, *, settings: str = "", destinations: Sequence[Destination] = ()
) -> Iterator[RunningNode]:
    """Run a node with its data in `folder` until the block ends; its detector finds balls (`tests.support.detectors`).

    Parameters
    ----------
    settings : more TOML, tables only; the workers run the models unless it names [triton]
    destinations : who takes the results of the only rule
    """
    folder.mkdir(parents=True, exist_ok=True)
    config_file = folder / "node.toml"
    if not config_file.exists():
        config_file.write_text(_toml(folder, settings, destinations))
    config = load(config_file, {})
    log = folder / "node.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pacs_node", "node", "up", "--config", str(config_file)],
            stdout=output,
            stderr=output,
            env=clean_environment(),
        )
    node = RunningNode(config_file=config_file, config=config, log=log, process=process)
    try:
        eventually(lambda: _answers(node), timeout_s=60)
        yield node
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of the node."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PULMONODE_")}


def _answers(node: RunningNode) -> bool:
    if node.process.poll() is not None:
        raise AssertionError(f"the node ended: {node.log.read_text()[-2000:]}")
    return _echoes(node.peer)


def _echoes(peer: scu.Peer) -> bool:
    try:
        scu.echo(peer, calling_ae_title="TEST")
    except NodeError:
        return False
    return True


def _destination(d: Destination) -> str:
    address = f'url = "{d.url}"' if d.url else f'ae_title = "{d.ae_title}"\nhost = "{d.host}"\nport = {d.port}'
    commitment = "\ncommitment = true" if d.commitment else ""
    return f'[[destination]]\nname = "{d.name}"\n{address}\nprofile = {json.dumps(d.profile)}{commitment}'


def _toml(folder: Path, settings: str, destinations: Sequence[Destination]) -> str:
    names = ", ".join(f'"{destination.name}"' for destination in destinations)
    tables = [
        f'data = "{folder / "data"}"\nmodels = "{ball_repository(folder / "models")}"',
        f'[scp]\nhost = "127.0.0.1"\nport = {free_port()}\nminimum_free_bytes = 1000000',
        "" if "[settle]" in settings else "[settle]\nquiet_s = 1.0",
        "" if "[triton]" in settings else '[triton]\nmode = "onnx"\nthreads = 1',
        settings,
        "" if "[[rule]]" in settings else f'[[rule]]\nname = "chest-ct"\ndestinations = [{names}]',
        *(_destination(destination) for destination in destinations),
    ]
    return "\n\n".join(tables)
