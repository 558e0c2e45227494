"""A PACS to answer to: Orthanc where it is installed, else the small one of this project; on free loopback ports."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pacs_node.config import Destination
from pacs_node.dimse import scu
from pacs_node.errors import NodeError

ORTHANC = "Orthanc"
PLUGINS = (Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc/plugins"))
START_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacs:
    """A running PACS: who it is, its pages (None if it has none), and where the small one keeps its files."""

    name: str
    destination: Destination
    url: str | None
    folder: Path

    def fetch(self, sop_instance_uid: str) -> bytes | None:
        """The file of an instance as the PACS holds it; None if it does not hold it (yet)."""
        if self.url is None:
            path = self.folder / f"{sop_instance_uid}.dcm"
            return path.read_bytes() if path.exists() else None
        query = {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}}
        found = json.loads(self._asked("/tools/find", json.dumps(query).encode()))
        return self._asked(f"/instances/{found[0]}/file") if found else None

    def _asked(self, path: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(f"{self.url}{path}", body, timeout=30) as answer:
            data: bytes = answer.read()
        return data


@contextmanager
def running(folder: Path) -> Iterator[Pacs]:
    """Start a PACS with its files in `folder`, and stop it at the end.

    Raises
    ------
    NodeError : it does not answer a C-ECHO
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, web = free_port(), free_port()
    destination = Destination(name="pacs", ae_title="DEMOPACS", host="127.0.0.1", port=port)
    is_orthanc = shutil.which(ORTHANC) is not None
    arguments = _orthanc(folder, destination, web) if is_orthanc else _small(folder, destination)
    with (folder / "pacs.log").open("wb") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(destination, process)
        name = "Orthanc" if is_orthanc else "the small PACS of this project"
        url = f"http://127.0.0.1:{web}" if is_orthanc else None
        yield Pacs(name=name, destination=destination, url=url, folder=folder)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _orthanc(folder: Path, destination: Destination, web: int) -> list[str]:
    settings = {
        "Name": "PulmoNode demo",
        "StorageDirectory": str(folder.resolve()),
        "IndexDirectory": str(folder.resolve()),
        "Plugins": [str(path) for path in PLUGINS if path.exists()],
        "DicomAet": destination.ae_title,
        "DicomPort": destination.port,
        "HttpPort": web,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomWeb": {"Enable": True},
        "OverwriteInstances": False,
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings, indent=2))
    return [ORTHANC, str(path)]


def _small(folder: Path, destination: Destination) -> list[str]:
    where = ["--port", str(destination.port), "--ae-title", destination.ae_title, "--folder", str(folder)]
    return [sys.executable, "-m", "pacs_node.dimse.pacs", *where]


def _wait(destination: Destination, process: subprocess.Popen[bytes]) -> None:
    peer = scu.Peer(name=destination.name, ae_title=destination.ae_title, host=destination.host, port=destination.port)
    deadline = time.monotonic() + START_S
    while True:
        try:
            scu.echo(peer, calling_ae_title="DEMO")
            return
        except NodeError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
