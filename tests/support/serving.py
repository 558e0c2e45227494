"""The receiving process of a node alone, as its users run it: `pulmonode node serve`, with settings of the test."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pacs_node.demo.pacs import free_port
from pacs_node.dimse import scu
from pacs_node.errors import NodeError
from tests.support.nodes import clean_environment, eventually
from tests.support.peers import AE_TITLE


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingNode:
    """A process that receives, what it keeps and what it logs."""

    data: Path
    log: Path
    port: int
    process: psutil.Process

    @property
    def peer(self) -> scu.Peer:
        """The node as others see it."""
        return scu.Peer(name="node", ae_title=AE_TITLE, host="127.0.0.1", port=self.port)

    def echo_s(self) -> float:
        """Seconds that a C-ECHO takes, from the connection on."""
        return scu.echo(self.peer, calling_ae_title="ECHO", timeout_s=60).seconds

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of this name in the log."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == name]

    def connections(self) -> list[object]:
        """Open connections with peers."""
        found = self.process.net_connections(kind="tcp")
        return [c for c in found if c.laddr.port == self.port and c.status != psutil.CONN_LISTEN]

    def descriptors(self) -> int:
        """Open descriptors, without those of the index: its pool opens connections as it needs them."""
        files = [file.path for file in self.process.open_files()]
        return self.process.num_fds() - sum("pulmonode.sqlite" in path for path in files)

    def stored(self) -> list[Path]:
        """The files of instances."""
        return sorted((self.data / "instances").glob("*/*.dcm"))

    def drafts(self) -> list[Path]:
        """Files of instances that are not stored yet."""
        return [path for path in (self.data / "incoming").rglob("*") if path.is_file()]


@contextmanager
def serving_node(
    folder: Path,
    *,
    data: Path | None = None,
    settings: str = "",
    meanwhile: Callable[[ServingNode], object] = lambda node: None,
    **scp: int,
) -> Iterator[ServingNode]:
    """Receive in a process of its own until the block ends.

    Parameters
    ----------
    settings : more TOML, tables only
    meanwhile : called when the process has started, before it answers
    scp : keys of `[scp]`
    """
    port = free_port()
    keys = {"port": port, "minimum_free_bytes": 0, **scp}
    config, log, data = folder / "node.toml", folder / "node.log", data or folder / "data"
    rows = "\n".join(f"{key} = {value}" for key, value in keys.items())
    config.write_text(f'data = "{data}"\n\n[scp]\nhost = "127.0.0.1"\n{rows}\n\n{settings}\n')
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pacs_node", "node", "serve", "--config", str(config)],
            stdout=output,
            stderr=output,
            env=clean_environment(),
        )
    node = ServingNode(data=data, log=log, port=port, process=psutil.Process(process.pid))
    try:
        meanwhile(node)
        eventually(lambda: process.poll() is not None or _answers(node))
        assert process.poll() is None, log.read_text()
        yield node
        assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait()


def _answers(node: ServingNode) -> bool:
    try:
        node.echo_s()
    except NodeError:
        return False
    return True
