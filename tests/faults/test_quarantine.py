"""A study that ends its worker twice is set aside with a report, and the next one is analysed (promise 9)."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.support.nodes import RunningNode, eventually, running_node, small_pacs
from tests.support.series import Ball, a_chest_series

HOLDER = "SELECT lease_holder FROM job WHERE id = 1 AND state = 'running'"

PATIENT_S = 120
"""A worker that was killed has to start again, perhaps on a busy machine."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_study_that_ends_its_worker_twice_is_set_aside_and_the_next_is_analysed(tmp_path: Path) -> None:
    ball = Ball(centre_lps=(70, 0, 0), diameter_mm=14)
    with (
        small_pacs(tmp_path / "pacs") as pacs,
        running_node(tmp_path / "node", destinations=[pacs.destination]) as node,
    ):
        node.send(a_chest_series(tmp_path / "deadly", balls=[ball], study="deadly", series="deadly"))
        killed: set[str] = set()
        while len(killed) < 2:
            holder = eventually(
                lambda: next(iter(_asked(node, HOLDER) - killed), None), timeout_s=PATIENT_S, every_s=0.001
            )
            os.kill(int(holder.split("/")[1].partition(".")[0]), signal.SIGKILL)
            killed.add(holder)
        node.send(a_chest_series(tmp_path / "next", balls=[ball], study="next", series="next"))
        eventually(lambda: _asked(node, "SELECT id FROM delivery WHERE state = 'delivered'") == {1, 2}, PATIENT_S)
        states = _asked(node, "SELECT id || state FROM job")
        (listed,) = node.asked("job", "list", "--state", "quarantined")

    assert states == {"1quarantined", "2done"}
    assert [reason["code"] for reason in listed["reasons"]] == ["job.quarantined"]
    assert len(pacs.held()) == 3  # a report of the first, SEG and report of the second


def _asked(node: RunningNode, query: str) -> set[str]:
    """The first column of all rows."""
    connection = sqlite3.connect(f"file:{node.config.data / 'pulmonode.sqlite'}?mode=ro", uri=True)
    try:
        return {row[0] for row in connection.execute(query)}
    finally:
        connection.close()
