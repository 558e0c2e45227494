"""Instances per second that the node delivers to DCMTK's storescp as it is shipped, beside pynetdicom's SCU.

`python -m tests.benchmarks.send` sends 100,000 instances under twofold CPU overload and counts the lost answers.
Called by `make bench`.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from pacs_node.dimse import scu
from pacs_node.dimse.requestor import Requestor
from pacs_node.dimse.scu import Peer
from tests.benchmarks.goals import Goal, Measured
from tests.support.instances import an_instance, encoded
from tests.support.peers import running, sent, storescp

INSTANCES, ROUNDS, PIXELS = 60, 3, 512
AS_SHIPPED_PER_S = 22.0
"""What a sender reaches that waits for a delayed acknowledgement of 44 ms with every instance."""

MANY, BATCH = 100_000, 10_000
BUSY = "while True: pass"


def measured() -> Measured:
    """Both senders in turn."""
    seconds = measure()
    per_s = {name: INSTANCES / statistics.median(taken) for name, taken in seconds.items()}
    times = statistics.median(theirs / ours for ours, theirs in zip(*seconds.values(), strict=True))
    rows = [f"  {name:22}{rate:13.0f}" for name, rate in per_s.items()]
    goals = (
        Goal(
            what="sent to storescp as shipped: x 22 instances/s",
            value=per_s["node"] / AS_SHIPPED_PER_S,
            bound=20.0,
        ),
        Goal(what="sent to storescp as shipped: x pynetdicom's SCU", value=times, bound=5.0),
    )
    return Measured(text="\n".join(["Sent, 512 x 512 CT instances per second", *rows]), goals=goals)


def measure(instances: int = INSTANCES, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of every round by sender: the node's, then pynetdicom's."""
    senders: dict[str, Callable[[Peer, Sequence[Path]], object]] = {"node": _by_node, "pynetdicom": _by_pynetdicom}
    seconds: dict[str, list[float]] = {name: [] for name in senders}
    with TemporaryDirectory(prefix="send-") as folder, storescp(Path(folder, "received"), "--ignore") as peer:
        paths = [_written(Path(folder, f"{number}.dcm"), number) for number in range(instances)]
        for _ in range(rounds):
            for name, send in senders.items():
                started_s = time.monotonic()
                send(peer, paths)
                seconds[name].append(time.monotonic() - started_s)
    return seconds


def lost(instances: int = MANY) -> int:
    """Of so many small instances, those without answer while two processes for each core keep the machine busy."""
    dataset = an_instance()
    content = encoded(dataset)
    missing = 0
    with TemporaryDirectory(prefix="send-") as folder, ExitStack() as stack:
        peer = stack.enter_context(storescp(Path(folder), "--ignore"))
        for _ in range(2 * (os.cpu_count() or 1)):
            stack.enter_context(running([sys.executable, "-c", BUSY]))
        for sent_before in range(0, instances, BATCH):
            with Requestor(peer, "BENCH", [(CTImageStorage, [str(ExplicitVRLittleEndian)])], 60) as association:
                missing += sum(sent(association, dataset, content) != 0 for _ in range(min(BATCH, instances)))
            print(f"\r  {sent_before + BATCH} sent, {missing} without answer", end="", file=sys.stderr, flush=True)
    return missing


def _by_node(peer: Peer, paths: Sequence[Path]) -> None:
    scu.store(peer, paths, calling_ae_title="BENCH")


def _by_pynetdicom(peer: Peer, paths: Sequence[Path]) -> None:
    entity = AE(ae_title="BENCH")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title)
    assert all(association.send_c_store(path).Status == 0 for path in paths)
    association.release()


def _written(path: Path, number: int) -> Path:
    dataset = an_instance(f"1.2.826.0.1.89.{number}", Rows=PIXELS, Columns=PIXELS)
    dataset.PixelData = Random(number).randbytes(2 * PIXELS * PIXELS)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def main() -> int:
    """1 if an answer was lost."""
    started_s = time.monotonic()
    missing = lost()
    print(f"\n{MANY} instances sent in {time.monotonic() - started_s:.0f} s; {missing} without answer")
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main())
