"""DCMTK's image archive, a peer for C-FIND, C-MOVE and C-GET."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pacs_node.demo.pacs import free_port
from pacs_node.dimse import scu
from tests.support.peers import await_echo, running

SETTINGS = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
node = (PULMONODE, 127.0.0.1, {node_port})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
ARCHIVE {folder} RW (200, 1024mb) ANY
AETable END
"""


@contextmanager
def dcmqrscp(folder: Path, node_port: int, paths: Sequence[Path]) -> Iterator[scu.Peer]:
    """An archive that holds these files, and moves them to the AE title PULMONODE at this port."""
    if shutil.which("dcmqrscp") is None:
        pytest.skip("dcmqrscp of DCMTK is not installed")
    store = folder / "store"
    store.mkdir(parents=True)
    port = free_port()
    settings = folder / "dcmqrscp.cfg"
    settings.write_text(SETTINGS.format(port=port, node_port=node_port, folder=store))
    with running(["dcmqrscp", "-c", str(settings)]):
        peer = scu.Peer(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port)
        await_echo(peer)
        scu.store(peer, paths, calling_ae_title="CT1")
        yield peer
