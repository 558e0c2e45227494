"""DICOM peers: DCMTK's tools, Orthanc, scripted ones on a bare socket, and the receiving half of the node to talk to.

Every builder skips the test where its program is not installed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom.dataset import Dataset

from pacs_node.archive.files import InstanceFiles
from pacs_node.config import PeerTls
from pacs_node.demo.pacs import free_port
from pacs_node.dimse import command, scp, scu
from pacs_node.dimse.requestor import Requestor
from pacs_node.domain.instance import Receipt
from pacs_node.errors import NodeError
from pacs_node.steps.receive import Receiver
from tests.support.instances import encoded
from tests.support.network import LOOPBACK, Network

AE_TITLE = "PULMONODE"


@dataclass(slots=True, kw_only=True)
class ReceivingNode:
    """An SCP with its archive; the index is a list."""

    root: Path
    server: scp.Server
    receiver: Receiver
    receipts: list[Receipt] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def peer(self) -> scu.Peer:
        """The node as others see it."""
        return scu.Peer(name="node", ae_title=AE_TITLE, host="127.0.0.1", port=self.server.port)

    @property
    def address(self) -> tuple[str, ...]:
        """Called AE title, host and port as DCMTK's tools want them."""
        return ("-aec", AE_TITLE, "127.0.0.1", str(self.server.port))

    def stored(self, sop_instance_uid: str) -> bytes:
        """The dataset of an instance as it lies on disk."""
        files = InstanceFiles(self.root)
        [receipt] = [r for r in map(files.read_receipt, files.scan()) if r.sop_instance_uid == sop_instance_uid]
        return (self.root / receipt.file_key).read_bytes()[-receipt.size_bytes :]

    def sockets(self) -> list[object]:
        """Connections of this process at the port of the node, other than the listening one."""
        found = psutil.Process().net_connections(kind="tcp")
        return [c for c in found if c.laddr.port == self.server.port and c.status != psutil.CONN_LISTEN]

    def files(self) -> list[Path]:
        """Every file of the archive, drafts too."""
        return [path for path in self.root.rglob("*") if path.is_file()]


@contextmanager
def receiving_node(
    root: Path, *, minimum_free_bytes: int = 0, clock: Callable[[], float] = time.monotonic, **settings: Any
) -> Iterator[ReceivingNode]:
    """Receive in this process until the block ends; settings are those of `scp.ScpSettings`."""
    receipts: list[Receipt] = []
    events: list[tuple[str, dict[str, Any]]] = []
    files = InstanceFiles(root, minimum_free_bytes=minimum_free_bytes)
    receiver = Receiver(files, record=receipts.extend, now=lambda: datetime.now(UTC))
    configured = scp.ScpSettings(**{"ae_title": AE_TITLE, "host": "127.0.0.1", "port": 0, **settings})
    server = scp.serve(configured, receiver, lambda name, values: events.append((name, values)), clock=clock)
    try:
        yield ReceivingNode(root=root, server=server, receiver=receiver, receipts=receipts, events=events)
    finally:
        server.stop(grace_s=0.5)
        receiver.close()


def sent(
    association: Requestor, dataset: Dataset, content: bytes | memoryview | None = None, context_id: int = 1
) -> int | None:
    """The status of a C-STORE of these bytes, or of the dataset in Explicit VR Little Endian."""
    request = command.store_request(1, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
    response = association.exchange(context_id, request, encoded(dataset) if content is None else content)
    return command.number(response, command.STATUS)


def dcmtk(tool: str, *arguments: str | Path, check: bool = True) -> str:
    """Run a tool of DCMTK with its default settings, and give back what it says."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} of DCMTK is not installed")
    done = subprocess.run(
        [tool, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


@contextmanager
def storescp(
    folder: Path,
    *options: str,
    ae_title: str = "STORESCP",
    tls: PeerTls | None = None,
    network: Network = LOOPBACK,
    **environment: str,
) -> Iterator[scu.Peer]:
    """DCMTK's storage SCP, which writes into the folder; `tls` is how to speak to it if the options switch TLS on."""
    if shutil.which("storescp") is None:
        pytest.skip("storescp of DCMTK is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [*network.prefix, "storescp", "-aet", ae_title, *options, "-od", str(folder), str(port)]
    with running(command, **environment):
        peer = scu.Peer(name="storescp", ae_title=ae_title, host=network.host, port=port, tls=tls)
        await_echo(peer)
        yield peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Orthanc:
    """A running Orthanc, empty at first."""

    peer: scu.Peer
    url: str


@contextmanager
def orthanc(folder: Path, environment: Mapping[str, str] | None = None, **settings: object) -> Iterator[Orthanc]:
    """Orthanc with its storage in the folder, and with DICOMweb if that is installed."""
    if shutil.which("Orthanc") is None:
        pytest.skip("Orthanc is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    port, web = free_port(), free_port()
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    configured = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "Plugins": [str(plugin)] if plugin.exists() else [],
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "DicomCheckCalledAet": True,
        "HttpPort": web,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        **settings,
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configured))
    with running(["Orthanc", str(path)], **(environment or {})):
        peer = scu.Peer(name="orthanc", ae_title="ORTHANC", host="127.0.0.1", port=port)
        await_echo(peer)
        yield Orthanc(peer=peer, url=f"http://127.0.0.1:{web}")


@contextmanager
def running(command: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the block ends; what it prints is dropped."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_echo(peer: scu.Peer, timeout_s: float = 30) -> None:
    """Wait until the peer answers a C-ECHO."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            scu.echo(peer, calling_ae_title="TEST", timeout_s=timeout_s)
            return
        except NodeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def scripted(script: Callable[[socket.socket], None]) -> Iterator[scu.Peer]:
    """A peer that does with each connection what the script says, and closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    script(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield scu.Peer(name="scripted", ae_title="SCRIPTED", host="127.0.0.1", port=listener.getsockname()[1])
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
        assert not thread.is_alive()
