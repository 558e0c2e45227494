"""Instances per second that are received by the node, Orthanc, DCMTK's storescp and pynetdicom's storescp.

All receivers run at once and are measured in turn, so that the load of the machine is the same for all: compare ratios
inside one run. The sender is the same for all (encoded bytes, PDUs as long as the receiver takes them, TCP_NODELAY).
Node and Orthanc sync every file to disk and index it; the other two do neither.

Called by `make bench`.
"""

from __future__ import annotations

import math
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from pacs_node.demo.pacs import free_port
from pacs_node.dimse.requestor import Requestor
from pacs_node.dimse.scu import Peer
from tests.support.instances import an_instance, encoded
from tests.support.peers import await_echo, orthanc, running, sent, storescp

INSTANCES = 300
EXPLICIT = "1.2.840.10008.1.2.1"
SENDERS = (1, 4)
ROUNDS = 3
PIXELS = 512
REFERENCE = "Orthanc, synced"

A_NODE = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from pacs_node.archive.files import InstanceFiles
from pacs_node.archive.queries import studies
from pacs_node.archive.session import Database
from pacs_node.dimse.scp import ScpSettings, serve
from pacs_node.steps.receive import Receiver
root = Path(sys.argv[1])
database = Database(f"sqlite:///{root / 'index.sqlite'}")
database.migrate()
def record(receipts):
    with database.transaction() as tx:
        studies.record_receipts(tx, receipts, lambda calling_ae_title: 30.0)
receiver = Receiver(InstanceFiles(root), record=record, now=lambda: datetime.now(UTC))
settings = ScpSettings(ae_title="PULMONODE", host="127.0.0.1", port=int(sys.argv[2]))
server = serve(settings, receiver, lambda name, values: None)
threading.Event().wait()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Median over the rounds; `of_reference` is the median of the ratios to Orthanc in the same round."""

    receiver: str
    senders: int
    per_s: float
    of_reference: float


def measure(instances: int = INSTANCES, rounds: int = ROUNDS) -> list[Rate]:
    """Send 512 x 512 CT instances to every receiver, from one and from four senders, in turn."""
    seconds: dict[tuple[str, int], list[float]] = {}
    with TemporaryDirectory(prefix="receive-") as folder, ExitStack() as stack:
        peers = {
            name: stack.enter_context(start(Path(folder, name)))
            for name, (program, start) in RECEIVERS.items()
            if shutil.which(program)
        }
        senders = [stack.enter_context(_Sender()) for _ in range(max(SENDERS))]
        for number in range(rounds):
            for count in SENDERS:
                for name, peer in peers.items():
                    taken_s = _sending_s(peer, senders[:count], instances // count, f"{number + 1}{count}0")
                    seconds.setdefault((name, count), []).append(taken_s)
    return [_rate(name, senders, seconds, instances) for name, senders in seconds]


def table(rates: Sequence[Rate]) -> str:
    """The rates as text."""
    lines = [f"{'receiver':22}{'senders':>8}{'instances/s':>13}{'x Orthanc':>11}"]
    lines += [f"{r.receiver:22}{r.senders:8}{r.per_s:13.0f}{r.of_reference:11.2f}" for r in rates]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    print(f"Receiving CT instances of {PIXELS} x {PIXELS} pixels, {INSTANCES} in each of {ROUNDS} rounds")
    print(table(measure()))


def _rate(name: str, senders: int, seconds: dict[tuple[str, int], list[float]], instances: int) -> Rate:
    own = seconds[name, senders]
    reference = seconds.get((REFERENCE, senders), [math.nan] * len(own))
    return Rate(
        receiver=name,
        senders=senders,
        per_s=instances / statistics.median(own),
        of_reference=statistics.median(r / o for o, r in zip(own, reference, strict=True)),
    )


class _Sender:
    """A process that sends on demand over an association of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.receive", "send"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> _Sender:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def tell(self, *words: object) -> None:
        """Write a line to the process."""
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)

    def hear(self) -> str:
        """The next line from the process."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _sending_s(peer: Peer, senders: Sequence[_Sender], each: int, tag: str) -> float:
    """Seconds from the first instance to the last answer."""
    for number, sender in enumerate(senders):
        sender.tell(peer.ae_title, peer.port, each, f"{tag}{number}")
    assert [sender.hear() for sender in senders] == ["ready"] * len(senders)
    started_s = time.monotonic()
    for sender in senders:
        sender.tell("go")
    assert [sender.hear() for sender in senders] == ["done"] * len(senders)
    return time.monotonic() - started_s


def _send() -> None:
    """What a sender does: open an association, wait for the word, send; again until the input ends."""
    template = an_instance(_uid("9" * 4, 0), Rows=PIXELS, Columns=PIXELS, PatientID="1")
    template.PixelData = Random(1).randbytes(2 * PIXELS * PIXELS)
    content = bytearray(encoded(template))
    places = [found.start() for found in re.finditer(re.escape(str(template.SOPInstanceUID).encode()), content)]
    for line in sys.stdin:
        ae_title, port, count, tag = line.split()
        peer = Peer(name="receiver", ae_title=ae_title, host="127.0.0.1", port=int(port))
        with Requestor(peer, "BENCH", [(str(template.SOPClassUID), [EXPLICIT])], 120) as association:
            print("ready", flush=True)
            sys.stdin.readline()
            for number in range(int(count)):
                template.SOPInstanceUID = _uid(tag, number)
                for place in places:
                    content[place : place + len(template.SOPInstanceUID)] = template.SOPInstanceUID.encode()
                assert sent(association, template, memoryview(content)) == 0
            print("done", flush=True)


def _uid(tag: str, number: int) -> str:
    """Always of the same length."""
    return f"1.2.826.0.1.88.{tag}.{10000 + number}"


@contextmanager
def _node(folder: Path) -> Iterator[Peer]:
    folder.mkdir()
    peer = Peer(name="node", ae_title="PULMONODE", host="127.0.0.1", port=free_port())
    with running([sys.executable, "-c", A_NODE, str(folder), str(peer.port)]):
        await_echo(peer)
        yield peer


@contextmanager
def _orthanc(folder: Path) -> Iterator[Peer]:
    settings = {"SyncStorageArea": True, "MaximumPduLength": 131072, "Plugins": []}
    with orthanc(folder, environment={"TCP_NODELAY": "1"}, **settings) as server:
        yield server.peer


@contextmanager
def _storescp(folder: Path) -> Iterator[Peer]:
    options = ("--fork", "+B", "--max-pdu", "131072")
    with storescp(folder, *options, TCP_NODELAY="1") as peer:
        yield peer


@contextmanager
def _pynetdicom(folder: Path) -> Iterator[Peer]:
    folder.mkdir()
    peer = Peer(name="pynetdicom", ae_title="STORESCP", host="127.0.0.1", port=free_port())
    options = ["-q", "-aet", peer.ae_title, "-od", str(folder), "--max-pdu", "131072", "-ba", "127.0.0.1"]
    with running([sys.executable, "-m", "pynetdicom", "storescp", *options, str(peer.port)]):
        await_echo(peer)
        yield peer


RECEIVERS: dict[str, tuple[str, Callable[[Path], AbstractContextManager[Peer]]]] = {
    "node, synced": (sys.executable, _node),
    REFERENCE: ("Orthanc", _orthanc),
    "DCMTK storescp": ("storescp", _storescp),
    "pynetdicom storescp": (sys.executable, _pynetdicom),
}
"""Each with the program that it needs."""


if __name__ == "__main__":
    _send() if sys.argv[1:] == ["send"] else main()
