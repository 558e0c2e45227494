"""A worker that is killed in the middle of any step costs time, never a result, and never makes two."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.support.nodes import RunningNode, eventually, kill, running_node, small_pacs
from tests.support.series import Ball, a_chest_series

STUDY_UID = "SELECT study_instance_uid FROM study"
MOMENTS = {
    "plan": "SELECT 1 FROM study WHERE state = 'settled'",
    "analyse": "SELECT 1 FROM job WHERE state = 'running'",
    "compose": "SELECT 1 FROM job WHERE state = 'composing'",
    "deliver": "SELECT 1 FROM delivery WHERE state = 'sending'",
}


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A CT with a nodule in the left lung."""
    return a_chest_series(tmp_path_factory.mktemp("ct"), balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=14)])


@pytest.mark.slow
@pytest.mark.parametrize("step", MOMENTS)
def test_a_worker_killed_in_a_step_leads_to_exactly_one_result(step: str, tmp_path: Path, chest: list[Path]) -> None:
    with (
        small_pacs(tmp_path / "pacs") as pacs,
        running_node(tmp_path / "node", destinations=[pacs.destination]) as node,
    ):
        eventually(lambda: len(node.processes("work")) > node.config.work.processes)
        victims = node.processes("work")
        node.send(chest)
        eventually(lambda: _value(node, MOMENTS[step]), every_s=0.001)
        kill(victims)
        is_inside = _value(node, MOMENTS[step]) is not None
        _await_delivery(node)
        study = node.asked("study", "show", str(_value(node, STUDY_UID)))

    assert is_inside, "the step was over before the kill; nothing was tested"
    (job,) = study["jobs"]
    assert job["state"] == "done"
    assert len(job["findings"]) == 1
    assert sorted(pacs.held()) == sorted(item["sop_instance_uid"] for item in job["results"])


@pytest.mark.slow
def test_a_node_killed_before_a_study_settles_settles_it_after_the_restart(tmp_path: Path, chest: list[Path]) -> None:
    with small_pacs(tmp_path / "pacs") as pacs:
        settings = "[settle]\nquiet_s = 4.0"
        with running_node(tmp_path / "node", settings=settings, destinations=[pacs.destination]) as node:
            node.send(chest)
            kill([*node.processes("serve"), *node.processes("work")])
            node.process.kill()
        with running_node(tmp_path / "node") as node:
            _await_delivery(node)
            status = node.asked("node", "status")

    assert status["instances"] == len(chest)
    assert status["results"] == 1


@pytest.mark.slow
def test_late_slices_lead_to_one_result_that_supersedes_the_first(tmp_path: Path, chest: list[Path]) -> None:
    with (
        small_pacs(tmp_path / "pacs") as pacs,
        running_node(tmp_path / "node", destinations=[pacs.destination]) as node,
    ):
        node.send(chest[:-5])
        _await_delivery(node)
        node.send(chest[-5:])
        eventually(lambda: node.asked("node", "status")["delivery_states"] == {"delivered": 2}, every_s=0.5)
        study = node.asked("study", "show", str(_value(node, STUDY_UID)))

    first, second = study["jobs"]
    assert second["supersedes_job_id"] == first["id"]
    uids = [{item["sop_instance_uid"] for item in job["results"]} for job in (first, second)]
    assert uids[0].isdisjoint(uids[1])
    assert set(pacs.held()) == uids[0] | uids[1]


@pytest.mark.slow
def test_results_that_come_back_are_recognised_and_not_analysed(tmp_path: Path, chest: list[Path]) -> None:
    with (
        small_pacs(tmp_path / "pacs") as pacs,
        running_node(tmp_path / "node", destinations=[pacs.destination]) as node,
    ):
        node.send(chest)
        _await_delivery(node)
        before: dict[str, Any] = node.asked("node", "status")
        node.send(sorted(pacs.folder.glob("*.dcm")), calling_ae_title="PACS")
        eventually(lambda: node.asked("node", "status")["instances"] == before["instances"] + 2, every_s=0.5)
        after = node.asked("node", "status")

    assert after["study_states"] == {"planned": 1}
    assert after["job_states"] == {"done": 1}


def _await_delivery(node: RunningNode) -> None:
    eventually(lambda: node.asked("node", "status")["delivery_states"] == {"delivered": 1}, every_s=0.5)


def _value(node: RunningNode, query: str) -> str | None:
    connection = sqlite3.connect(f"file:{node.config.data / 'pulmonode.sqlite'}?mode=ro", uri=True)
    try:
        row = connection.execute(query).fetchone()
    finally:
        connection.close()
    return None if row is None else str(row[0])
