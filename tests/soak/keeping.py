"""The node under test: kept running as a service manager would, its data on a small disk, its processes in view."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from sqlite3 import Error, connect

import psutil

from pacs_node.config import Destination
from pacs_node.demo.pacs import free_port
from tests.support.detectors import ball_repository
from tests.support.nodes import RunningNode, running_node

WATERMARK_BYTES = 64 << 20
QUIET_S = 3.0
LAST_STEP_S = 30.0
"""Processes of a head that was killed may end their steps."""
UNFINISHED = (
    "SELECT (SELECT count(*) FROM study WHERE state NOT IN ('planned', 'quarantined'))"
    " + (SELECT count(*) FROM job WHERE state IN ('queued', 'running', 'analysed', 'composing'))"
)
UNDELIVERED = "SELECT count(*) FROM delivery WHERE state IN ('pending', 'sending')"


def write_settings(folder: Path, destinations: Sequence[Destination], models: str) -> None:
    """The settings of a node: the embedded defaults, but for paths, ports, and a short quiet time."""
    names = ", ".join(f'"{one.name}"' for one in destinations)
    tables = [
        f'data = "{folder / "data"}"\nmodels = "{ball_repository(folder / "models")}"',
        f'[scp]\nhost = "127.0.0.1"\nport = {free_port()}\nminimum_free_bytes = {WATERMARK_BYTES}',
        f"[settle]\nquiet_s = {QUIET_S}\nahead_s = {QUIET_S / 3}",
        f'[triton]\nmode = "{models}"\nurl = "127.0.0.1:{free_port()}"\nthreads = 1',
        f'[[rule]]\nname = "chest-ct"\ndestinations = [{names}]',
        *(
            f'[[destination]]\nname = "{one.name}"\nae_title = "{one.ae_title}"\nhost = "{one.host}"\n'
            f"port = {one.port}\ntimeout_s = 10.0"
            for one in destinations
        ),
    ]
    (folder / "node.toml").write_text("\n\n".join(tables) + "\n")


class Keeper:
    """Starts the node, and again whenever it has ended, until it is closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closing = threading.Event()
        self._is_up = threading.Event()
        self._node: RunningNode | None = None
        self.starts = 0
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._thread.start()

    @property
    def node(self) -> RunningNode:
        """The node as it was started last; waits for the first start."""
        if not self._is_up.wait(180) or self._node is None:
            raise RuntimeError(f"the node does not start; {self._folder / 'node.log'} says why")
        return self._node

    def processes(self) -> list[psutil.Process]:
        """The head, if it lives, and all below it."""
        try:
            head = psutil.Process(self.node.process.pid)
            return [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def close(self) -> int:
        """Stop the node in an orderly way; how many of its processes, of any start, did not end and were killed."""
        self._closing.set()
        self._thread.join(120)
        left = psutil.wait_procs(self._all(), timeout=LAST_STEP_S)[1]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return len(left)

    def _all(self) -> list[psutil.Process]:
        """Whatever runs with the settings of this node, also what its heads left behind."""
        settings, models = str(self._folder / "node.toml"), f"--model-repository={self._folder / 'models'}"
        return [p for p in psutil.process_iter(["cmdline"]) if {settings, models} & set(p.info["cmdline"] or ())]

    def _keep(self) -> None:
        while not self._closing.is_set():
            with suppress(AssertionError), running_node(self._folder) as node:  # it ended, or does not answer yet
                self.starts += 1
                self._node = node
                self._is_up.set()
                while node.process.poll() is None and not self._closing.wait(0.2):
                    pass
            self._closing.wait(1.0)


def part_of(process: psutil.Process) -> str:
    """Which part of the node a process belongs to, decoders to the workers; raises psutil.Error."""
    arguments = process.cmdline()
    if any("triton" in Path(argument).name for argument in arguments[:1]):
        return "Triton"
    return next((part for verb, part in (("up", "head"), ("serve", "serve")) if verb in arguments), "work")


def asked(data: Path, query: str) -> int | None:
    """A number from the node's database; None while it cannot be read."""
    try:
        with closing(connect(f"file:{data / 'pulmonode.sqlite'}?mode=ro", uri=True, timeout=5)) as connection:
            return int(connection.execute(query).fetchone()[0])
    except Error:
        return None


class Disk:
    """A file system in memory, of any size; made by `small_disk`."""

    def __init__(self, place: Path, size_bytes: int) -> None:
        self._place, self._size_bytes = place, size_bytes

    @property
    def used_bytes(self) -> int:
        """What is on it."""
        seen = os.statvfs(self._place)
        return (seen.f_blocks - seen.f_bfree) * seen.f_frsize

    @property
    def used_fraction(self) -> float:
        """Of the size that it has when it is mended."""
        return self.used_bytes / self._size_bytes

    def leave(self, count: int) -> bool:
        """Shrink it until so many bytes are free; whether that could be done before more was written."""
        return any(self._resized(self.used_bytes + count) for _ in range(20))

    def mend(self) -> None:
        """Give it its size back."""
        if not self._resized(self._size_bytes):
            raise RuntimeError("the small disk cannot be enlarged again")

    def _resized(self, size_bytes: int) -> bool:
        return _done("mount", "-o", f"remount,size={size_bytes}", str(self._place))


@contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[Disk | None]:
    """A disk of this size; None where none can be mounted, and the folder is a folder."""
    place.mkdir(parents=True)
    if not _done("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(place)):
        yield None
        return
    with ExitStack() as stack:
        stack.callback(_unmounted, place)
        yield Disk(place, size_bytes)


def _unmounted(place: Path) -> None:
    deadline = time.monotonic() + 30
    while not _done("umount", str(place)) and time.monotonic() < deadline:
        time.sleep(1)  # a process that was killed may still have a file open


def _done(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
