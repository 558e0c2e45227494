"""Promise 4: whatever is sent, all processes of a node together need less than 600 MB for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from pydicom.dataset import Dataset

from pacs_node.archive.queries.machine import JOBS, STUDIES
from pacs_node.dimse.requestor import Requestor
from tests.support.hostile import HELD, REFUSED, Hostile, Sent, sent_series
from tests.support.nodes import RunningNode, eventually, running_node
from tests.support.peers import sent
from tests.support.series import Ball, a_chest_series

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MOST_BYTES = 600_000_000
COPIES = 2
"""Of every kind, so that all workers meet the worst kind at once."""


def test_all_hostile_kinds_at_once_take_bounded_memory_and_each_is_answered(tmp_path: Path) -> None:
    with running_node(tmp_path / "node") as node:
        balls = [Ball(centre_lps=(70, 0, 0), diameter_mm=14)]
        node.send(a_chest_series(tmp_path / "honest", slices=24, spacing_mm=5.0, balls=balls))
        eventually(lambda: node.states(JOBS) == {"done": 1})  # models are loaded
        kinds = [(name, *kind) for kind_of in (REFUSED, HELD) for name, kind in kind_of.items()] * COPIES
        series = [(_made(tmp_path / str(number), name, kind), code) for number, (name, code, kind) in enumerate(kinds)]
        before = _held_bytes(node)
        with _most_held(node) as samples, ThreadPoolExecutor(8) as senders:
            answers = list(senders.map(lambda item: _answers(node, item[0]), series))
            held = COPIES * len(HELD)
            eventually(lambda: node.states(STUDIES) == {"planned": 1 + held}, timeout_s=300)
            eventually(lambda: node.states(JOBS) == {"done": 1 + held}, timeout_s=300)
        expected = [{code} if isinstance(code, int) else {0} for _, code in series]
        assert [set(statuses) for statuses in answers] == expected
        assert max(samples) - before < MOST_BYTES


def _made(folder: Path, name: str, kind: Hostile) -> list[Sent]:
    return sent_series(folder, f"{name}, {folder.name}", kind)


def _answers(node: RunningNode, series: list[Sent]) -> list[int | None]:
    request = series[0].request
    contexts = [(request.sop_class_uid, [request.transfer_syntax_uid])]
    with Requestor(node.peer, "HOSTILE", contexts, 60) as association:
        return [sent(association, _named(one), one.dataset) for one in series]


def _named(one: Sent) -> Dataset:
    """What the command says that the dataset is."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = one.request.sop_class_uid, one.request.sop_instance_uid
    return dataset


def _held_bytes(node: RunningNode) -> int:
    """What all processes hold beside mapped files; pages that a fork shares count in each, now as later."""
    head = psutil.Process(node.process.pid)
    return sum(map(_own_bytes, [head, *head.children(recursive=True)]))


def _own_bytes(process: psutil.Process) -> int:
    try:
        memory = process.memory_info()
        return int(memory.rss - memory.shared)
    except psutil.Error:
        return 0


@contextmanager
def _most_held(node: RunningNode) -> Iterator[list[int]]:
    samples, stop = [0], threading.Event()

    def sample() -> None:
        while not stop.wait(0.02):
            samples.append(_held_bytes(node))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
