"""How the cost grows: with slices, nodules, concurrent senders and studies that wait.

Called by `tests.benchmarks.report`; every function returns points of size and cost.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from inference.lungs import find_lungs
from pacs_node.archive.queries import studies as index
from pacs_node.domain.identifiers import InstanceUid, SeriesUid, StudyUid
from pacs_node.domain.instance import Receipt
from pacs_node.report.encoding import file_bytes
from pacs_node.report.segmentation import nodule_segmentation
from pacs_node.report.structured import structured_report
from pacs_node.steps.sweep import sweep
from tests.benchmarks import receive
from tests.benchmarks.load import by_node
from tests.benchmarks.results import a_large_case
from tests.support.detectors import ball_repository
from tests.support.results import a_request
from tests.support.series import a_chest_series
from tests.support.steps import Clock, opened_node

Points = tuple[tuple[int, float], ...]

SLICES = (75, 150, 300, 600)
NODULES = (1, 5, 20, 60)
SENDERS = (1, 2, 4, 8, 16)
WAITING = (1, 100, 1_000, 10_000)
ROUNDS = 3


def slices(counts: Sequence[int] = SLICES) -> dict[str, Points]:
    """CPU seconds of loading a series of 512 x 512 pixels and of finding its lungs."""
    loading, lungs = [], []
    for count in counts:
        with TemporaryDirectory(prefix="growth-") as folder:
            paths = a_chest_series(
                Path(folder), slices=count, spacing_mm=300 / count, size=(512, 512), pixel_spacing_mm=(0.6, 0.6)
            )
            loading.append((count, _cpu_s(lambda paths=paths: by_node(paths))))
            volume = by_node(paths)
            lungs.append((count, _cpu_s(lambda volume=volume: find_lungs(volume))))
    return {"load, CPU s": tuple(loading), "find lungs, CPU s": tuple(lungs)}


def nodules(counts: Sequence[int] = NODULES) -> dict[str, Points]:
    """CPU seconds of SEG and SR, bytes included, on 300 slices."""
    logging.getLogger("highdicom").setLevel(logging.CRITICAL)
    points = []
    for count in counts:
        case = a_large_case(count)
        request = a_request(case)

        def both(request=request, result=case.result) -> None:  # type: ignore[no-untyped-def]
            seg = nodule_segmentation(request, result)
            for dataset in (seg, structured_report(request, [seg])):
                file_bytes(dataset)

        points.append((count, _cpu_s(both)))
    return {"SEG and SR, CPU s": tuple(points)}


def senders(counts: Sequence[int] = SENDERS, instances: int = receive.INSTANCES) -> dict[str, Points]:
    """Instances a second that the node receives on disk."""
    only = {receive.NODE: receive.ON_DISK[receive.NODE]}
    with TemporaryDirectory(prefix="growth-") as folder:
        seconds = receive.measure(Path(folder), only, counts=counts, instances=instances)
    return {"received, instances/s": tuple((n, instances / statistics.median(s)) for (_, n), s in seconds.items())}


def waiting(counts: Sequence[int] = WAITING) -> dict[str, Points]:
    """Seconds of one sweep, which runs twice a second, while so many studies wait to be planned."""
    points = []
    for count in counts:
        with TemporaryDirectory(prefix="growth-") as folder:
            root, clock = Path(folder), Clock()
            url = f"sqlite:///{root / 'index.sqlite'}"
            with opened_node(url, ball_repository(root / "models"), root / "data", clock) as node:
                with node.database.transaction() as tx:
                    index.record_receipts(tx, [_a_receipt(n, clock) for n in range(count)], lambda title: 1.0)
                clock.forward(2)
                sweep(node)  # settles them all, and rings for each
                points.append((count, _wall_s(lambda node=node: sweep(node))))
    return {"one sweep, s": tuple(points)}


def _a_receipt(number: int, clock: Clock) -> Receipt:
    return Receipt(
        study_instance_uid=StudyUid(f"1.2.{number}"),
        series_instance_uid=SeriesUid(f"1.2.{number}.1"),
        sop_instance_uid=InstanceUid(f"1.2.{number}.1.1"),
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        file_key=f"instances/00/{number:062x}.dcm",
        size_bytes=1,
        content_hash=f"blake3:{number:064x}",
        calling_ae_title="CT1",
        peer_address="127.0.0.1",
        received_at=clock() + timedelta(microseconds=number),
    )


def _cpu_s(work: Callable[[], object]) -> float:
    return _median_s(work, time.process_time)


def _wall_s(work: Callable[[], object]) -> float:
    return _median_s(work, time.perf_counter)


def _median_s(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """After a first time that does not count: a virtual machine's memory takes several times as long when it is new."""
    work()
    seconds = []
    for _ in range(ROUNDS):
        started_s = clock()
        work()
        seconds.append(clock() - started_s)
    return statistics.median(seconds)
