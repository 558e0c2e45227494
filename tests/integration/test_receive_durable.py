"""What was acknowledged is never lost: by the order of system calls, and by killing the node."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import psutil
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from pacs_node.archive.files import InstanceFiles
from pacs_node.dimse.requestor import Requestor
from pacs_node.dimse.scu import Peer
from pacs_node.errors import NodeError
from tests.support.instances import an_instance, encoded
from tests.support.nodes import eventually
from tests.support.peers import AE_TITLE, sent

PROPOSED = [(str(CTImageStorage), [str(ExplicitVRLittleEndian)])]

A_NODE = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from pacs_node.archive.files import InstanceFiles
from pacs_node.dimse.scp import ScpSettings, serve
from pacs_node.steps.receive import Receiver
receiver = Receiver(InstanceFiles(Path(sys.argv[1])), record=lambda receipts: None, now=lambda: datetime.now(UTC))
server = serve(ScpSettings(ae_title="PULMONODE", host="127.0.0.1", port=0), receiver, lambda name, values: None)
print(server.port, flush=True)
threading.Event().wait()
"""


@contextmanager
def a_node_process(root: Path, *before: str) -> Iterator[tuple[subprocess.Popen[str], Peer]]:
    """The receiving half in a process of its own, started by the command `before`."""
    arguments = [*before, sys.executable, "-c", A_NODE, str(root)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield process, Peer(name="node", ae_title=AE_TITLE, host="127.0.0.1", port=port)
    finally:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            child.kill()
        process.kill()
        process.wait()
        process.stdout.close()


def test_kill_minus_nine_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    root, acknowledged = tmp_path / "archive", list[Dataset]()
    lock = threading.Lock()
    with a_node_process(root) as (process, peer):

        def store() -> None:
            with suppress(NodeError), Requestor(peer, "CT1", PROPOSED, 10) as association:
                while True:
                    dataset = an_instance(PixelData=Random(len(acknowledged)).randbytes(200_000))
                    if sent(association, dataset) == 0:
                        with lock:
                            acknowledged.append(dataset)

        senders = [threading.Thread(target=store) for _ in range(3)]
        for sender in senders:
            sender.start()
        eventually(lambda: len(acknowledged) >= 40, timeout_s=60)
        process.send_signal(signal.SIGKILL)
        for sender in senders:
            sender.join()
    files = InstanceFiles(root)
    files.clean()
    stored = {r.sop_instance_uid: root / r.file_key for r in map(files.read_receipt, files.scan())}
    assert all(stored[d.SOPInstanceUID].read_bytes().endswith(encoded(d)) for d in acknowledged)
    assert len(acknowledged) <= len(stored) <= len(acknowledged) + 3
    assert [path for path in (root / "incoming").rglob("*") if path.is_file()] == []


@pytest.mark.services
def test_success_is_answered_after_file_name_and_folder_are_synced(tmp_path: Path) -> None:
    """The order of system calls, as strace sees it: fsync of the file, rename, fsync of the folder, then the answer."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,sendto,write"
    strace = ("strace", "-f", "-y", "-s", "0", "-o", str(trace), "-e", calls)
    with (
        a_node_process(tmp_path / "archive", *strace) as (_, peer),
        Requestor(peer, "CT1", PROPOSED, 30) as association,
    ):
        assert [sent(association, an_instance()) for _ in range(2)] == [0, 0]
    steps = [
        (r"fsync\(\d+<[^>]*/incoming/[^>]*>\)", "file synced"),
        (r"renameat2\(.*/instances/", "renamed"),
        (r"fsync\(\d+<[^>]*/instances/[0-9a-f]{2}>\)", "folder synced"),
        (r"write\(\d+<[^>]*/incoming/", "written"),
        (r"sendto\(\d+<", "answered"),
    ]
    lines = trace.read_text().splitlines()
    seen = [name for line in lines for pattern, name in steps if re.search(pattern, line)]
    stores = "".join(f"{name}," for name in seen)
    once = "(written,)+file synced,renamed,folder synced,answered,"
    assert re.search(f"^answered,{once}{once}", stores), stores
