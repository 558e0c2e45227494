"""Instances per second that are received by the node, Orthanc, DCMTK's storescp and pynetdicom's storescp.

All receivers run at once and are measured in turn, so that the load of the machine is the same for all: compare ratios
inside one run. Three runs: on disk, where node and Orthanc sync every file and index it and the other two do neither;
on a memory file system, where Orthanc does not sync and syncing costs the node nothing; and, over an Ethernet where one
can be made, from DCMTK's storescu as it is shipped, which waits for delayed acknowledgements. In the first two the
sender is the same for all (PDUs as long as the receiver takes them, encoded once, in which only the UID of the instance
changes; TCP_NODELAY), over the loopback.

Called by `make bench`.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from tempfile import NamedTemporaryFile, TemporaryDirectory

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from pacs_node.demo.pacs import free_port
from pacs_node.dimse import command
from pacs_node.dimse.pdu import COMMAND, fragments, p_data
from pacs_node.dimse.requestor import Requestor
from pacs_node.dimse.scu import Peer
from tests.benchmarks.goals import Goal, Measured
from tests.support.instances import an_instance, encoded
from tests.support.network import LOOPBACK, Network, ethernet
from tests.support.peers import await_echo, dcmtk, orthanc, running, storescp

INSTANCES = 300
BY_STORESCU = 600
"""It is started anew in every round, which takes as long as to send 40."""
SENDERS = (1, 4)
ROUNDS = 3
PIXELS = 512
MEMORY = Path("/dev/shm")

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
settings = ScpSettings(ae_title="PULMONODE", host=sys.argv[3], port=int(sys.argv[2]))
server = serve(settings, receiver, lambda name, values: None)
threading.Event().wait()
"""


Sending = Callable[[Peer, int, int, str], float]
"""To a peer, from so many senders, so many instances each, under UIDs with this tag: the seconds that it took."""

Seconds = dict[tuple[str, int], list[float]]
"""Of every round, by receiver and number of senders; ratios are made inside a round."""


def measured(beside: Path | None = None) -> Measured:
    """All three runs, and what they are held to.

    Parameters
    ----------
    beside : another checkout of the project, whose node is measured on disk in the same run
    """
    other: Receivers = {f"node of {beside.name}": (sys.executable, partial(_node, checkout=beside))} if beside else {}
    _touch_memory(INSTANCES * (ROUNDS * len(SENDERS) + 1) * len(IN_MEMORY))
    on_disk = measure(Path(tempfile.gettempdir()), ON_DISK | other)
    in_memory = measure(MEMORY, IN_MEMORY)
    with ethernet() as network:
        receivers = from_storescu(network)
        by_storescu = measure(MEMORY, receivers, sending=by_dcmtk, counts=(1,), instances=BY_STORESCU, rounds=5)
    texts = [
        "Received, 512 x 512 CT instances per second",
        "on disk",
        table(on_disk),
        f"on a memory file system ({MEMORY})",
        table(in_memory),
        f"from DCMTK's storescu as it is shipped, over {network.name}",
        table(by_storescu, BY_STORESCU),
    ]
    ratios = [(on_disk, ORTHANC, 1.3, SENDERS), (in_memory, DCMTK, 0.5, SENDERS), (in_memory, ORTHANC, 3.0, SENDERS)]
    goals = [
        Goal(
            what=f"received, {count} sender{'s' * (count > 1)}, {'disk' if seconds is on_disk else 'memory'}: x {peer}",
            value=ratio(seconds, (NODE, count), (peer, count)),
            bound=bound,
        )
        for seconds, peer, bound, counts in ratios
        for count in counts
        if (peer, count) in seconds
    ]
    if (DCMTK, 1) in by_storescu:
        value = ratio(by_storescu, (NODE, 1), (DCMTK, 1))
        goals.append(Goal(what=f"received from storescu as shipped: x {DCMTK}", value=value, bound=4.0))
    return Measured(text="\n".join(texts), goals=tuple(goals))


def measure(
    place: Path,
    receivers: Receivers,
    *,
    sending: Sending | None = None,
    counts: Sequence[int] = SENDERS,
    instances: int = INSTANCES,
    rounds: int = ROUNDS,
) -> Seconds:
    """Seconds that all instances take, from so many senders to every receiver in turn, after a round to warm up.

    Parameters
    ----------
    place : where the receivers keep what they receive
    sending : sends to a peer; by default the senders of this module
    """
    seconds: Seconds = {}
    with TemporaryDirectory(prefix="receive-", dir=place) as folder, ExitStack() as stack:
        peers = {
            name: stack.enter_context(start(Path(folder, name)))
            for name, (program, start) in receivers.items()
            if shutil.which(program)
        }
        sending = sending or stack.enter_context(_Senders(max(counts))).send
        for number in range(rounds + 1):
            for count in counts if number else [max(counts)]:
                for name, peer in list(peers.items())[:: 1 if number % 2 else -1]:  # nobody always follows the same
                    taken_s = sending(peer, count, instances // count, f"{number + 1}{count}0")
                    if number:
                        seconds.setdefault((name, count), []).append(taken_s)
    return seconds


def ratio(seconds: Seconds, own: tuple[str, int], other: tuple[str, int]) -> float:
    """How many times as fast the first was; the median over the rounds."""
    return statistics.median(o / t for t, o in zip(seconds[own], seconds[other], strict=True))


def table(seconds: Seconds, instances: int = INSTANCES) -> str:
    """The medians as text."""
    lines = [f"  {'receiver':22}{'senders':>8}{'instances/s':>13}"]
    lines += [
        f"  {name:22}{count:8}{instances / statistics.median(taken):13.0f}" for (name, count), taken in seconds.items()
    ]
    return "\n".join(lines)


def by_dcmtk(peer: Peer, count: int, each: int, tag: str) -> float:
    """Seconds that DCMTK's storescu takes for files of its own, starting included."""
    with TemporaryDirectory(prefix="storescu-", dir=MEMORY) as folder:
        template = _template()
        template.file_meta = FileMetaDataset()
        template.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        template.file_meta.MediaStorageSOPClassUID = template.SOPClassUID
        for number in range(each):
            template.SOPInstanceUID = _uid(f"{tag}0", number)
            template.file_meta.MediaStorageSOPInstanceUID = template.SOPInstanceUID
            template.save_as(Path(folder, f"{number}.dcm"), enforce_file_format=True)
        started_s = time.monotonic()
        dcmtk("storescu", "-aec", peer.ae_title, peer.host, str(peer.port), "+sd", folder)
        return time.monotonic() - started_s


def _touch_memory(instances: int) -> None:
    """Use as much memory as these instances take: in a virtual machine each page costs far more the first time."""
    with NamedTemporaryFile(prefix="receive-", dir=MEMORY) as file:
        for _ in range(instances):
            file.write(bytes(2 * PIXELS * PIXELS))


class _Senders:
    """Processes that send on demand, each over an association of its own."""

    def __init__(self, count: int) -> None:
        self._stack = ExitStack()
        self._senders = [self._stack.enter_context(_Sender()) for _ in range(count)]

    def __enter__(self) -> _Senders:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def send(self, peer: Peer, count: int, each: int, tag: str) -> float:
        """Seconds from the first instance to the last answer."""
        senders = self._senders[:count]
        for number, sender in enumerate(senders):
            sender.tell(peer.ae_title, peer.host, peer.port, each, f"{tag}{number}")
        assert [sender.hear() for sender in senders] == ["ready"] * len(senders)
        started_s = time.monotonic()
        for sender in senders:
            sender.tell("go")
        assert [sender.hear() for sender in senders] == ["done"] * len(senders)
        return time.monotonic() - started_s


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


def _send() -> None:
    """What a sender does: open an association, wait for the word, send; again until the input ends."""
    template = _template()
    for line in sys.stdin:
        ae_title, host, port, count, tag = line.split()
        peer = Peer(name="receiver", ae_title=ae_title, host=host, port=int(port))
        with Requestor(peer, "BENCH", [(str(template.SOPClassUID), [str(ExplicitVRLittleEndian)])], 120) as association:
            uid, start, rest = _message(template, association.maximum_bytes)
            print("ready", flush=True)
            sys.stdin.readline()
            for number in range(int(count)):
                association.send_pdu(start.replace(uid, _uid(tag, number).encode()))
                association.send_pdu(rest)
                assert _status(association.p_data()) == 0
            print("done", flush=True)


def _message(template: Dataset, maximum_bytes: int) -> tuple[bytes, bytes, bytes]:
    """A C-STORE-RQ in all its PDUs: the SOP Instance UID, the part in which it stands twice, and the rest."""
    uid = str(template.SOPInstanceUID)
    request = command.store_request(1, str(template.SOPClassUID), uid)
    pdus = [*p_data(1, COMMAND, request, maximum_bytes), *p_data(1, 0, encoded(template), maximum_bytes)]
    message = b"".join(pdus)
    until = message.rindex(uid.encode()) + len(uid)
    return uid.encode(), message[:until], message[until:]


def _status(pdu: memoryview) -> int | None:
    ((_, _, response),) = fragments(pdu)
    return command.number(command.decode(bytes(response)), command.STATUS)


def _template() -> Dataset:
    dataset = an_instance(_uid("9" * 4, 0), Rows=PIXELS, Columns=PIXELS, PatientID="1")
    dataset.PixelData = Random(1).randbytes(2 * PIXELS * PIXELS)
    return dataset


def _uid(tag: str, number: int) -> str:
    """Always of the same length, as its bytes take the place of another one's."""
    return f"1.2.826.0.1.88.1{tag:0>7}.{10000 + number}"


@contextmanager
def _node(folder: Path, *, checkout: Path = Path(__file__).parents[2], network: Network = LOOPBACK) -> Iterator[Peer]:
    folder.mkdir()
    peer = Peer(name="node", ae_title="PULMONODE", host=network.host, port=free_port())
    command = [sys.executable, "-P", "-c", A_NODE, str(folder), str(peer.port), peer.host]
    with running([*network.prefix, *command], PYTHONPATH=str(checkout)):
        await_echo(peer)
        yield peer


@contextmanager
def _orthanc(folder: Path, *, is_synced: bool) -> Iterator[Peer]:
    settings = {"SyncStorageArea": is_synced, "MaximumPduLength": 131072, "Plugins": []}
    with orthanc(folder, environment={"TCP_NODELAY": "1"}, **settings) as server:
        yield server.peer


@contextmanager
def _storescp(folder: Path, *options: str, network: Network = LOOPBACK) -> Iterator[Peer]:
    with storescp(folder, "--fork", "+B", *options, network=network, TCP_NODELAY="1") as peer:
        yield peer


@contextmanager
def _long_pdus(folder: Path) -> Iterator[Peer]:
    with _storescp(folder, "--max-pdu", "131072") as peer:
        yield peer


@contextmanager
def _pynetdicom(folder: Path) -> Iterator[Peer]:
    folder.mkdir()
    peer = Peer(name="pynetdicom", ae_title="STORESCP", host="127.0.0.1", port=free_port())
    options = ["-q", "-aet", peer.ae_title, "-od", str(folder), "--max-pdu", "131072", "-ba", "127.0.0.1"]
    with running([sys.executable, "-m", "pynetdicom", "storescp", *options, str(peer.port)]):
        await_echo(peer)
        yield peer


Receivers = dict[str, tuple[str, Callable[[Path], AbstractContextManager[Peer]]]]
"""Each with the program that it needs."""

NODE, ORTHANC, DCMTK = "node", "Orthanc", "DCMTK storescp"
ON_DISK: Receivers = {
    NODE: (sys.executable, _node),
    ORTHANC: ("Orthanc", partial(_orthanc, is_synced=True)),
    DCMTK: ("storescp", _long_pdus),
    "pynetdicom storescp": (sys.executable, _pynetdicom),
}
IN_MEMORY: Receivers = ON_DISK | {ORTHANC: ("Orthanc", partial(_orthanc, is_synced=False))}


def from_storescu(network: Network) -> Receivers:
    """The receivers that listen in a network."""
    return {
        NODE: (sys.executable, partial(_node, network=network)),
        DCMTK: ("storescp", partial(_storescp, network=network)),
    }


if __name__ == "__main__":
    _send()
