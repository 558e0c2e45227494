"""A node with its embedded Triton: the same findings as without a server, alive again after a kill, gone at the end.

The story is told once; the tests look at what was noted meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from inference.errors import PredictorUnavailable
from inference.onnx import OnnxPredictor
from inference.registry import ModelRepository
from inference.series import find_files
from inference.triton.wheel import find_wheel
from pacs_node.archive.queries.machine import DELIVERIES
from pacs_node.demo.pacs import free_port
from pacs_node.steps.analyse import analysed
from pacs_node.steps.offline import pipeline_named
from tests.support.ct_instances import uid
from tests.support.nodes import RunningNode, eventually, kill, running_node, small_pacs
from tests.support.series import Ball, a_chest_series

pytestmark = [pytest.mark.triton, pytest.mark.slow]

BALLS = {
    "before": [Ball(centre_lps=(70, 0, 0), diameter_mm=14), Ball(centre_lps=(-60, 10, 5), diameter_mm=10)],
    "after": [Ball(centre_lps=(-70, 0, 0), diameter_mm=12)],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What was seen: findings of both studies, the servers before and after the kill, the folder of the node."""

    ct: Path
    node: RunningNode
    findings: dict[str, list[dict[str, Any]]]
    checks: list[dict[str, Any]]
    servers: tuple[int, int]
    stubs: list[psutil.Process]
    shared_memory: list[Path]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    try:
        find_wheel()
    except PredictorUnavailable as reason:
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("triton")
    for study, balls in BALLS.items():
        a_chest_series(folder / "ct" / study, slices=40, study=study, balls=balls)
    settings = f'[triton]\nmode = "embedded"\nurl = "127.0.0.1:{free_port()}"\nthreads = 1'
    with (
        small_pacs(folder / "pacs") as pacs,
        running_node(folder / "node", settings=settings, destinations=[pacs.destination]) as node,
    ):
        first = _server(node)
        node.send(find_files(folder / "ct" / "before"))
        eventually(lambda: node.states(DELIVERIES) == {"delivered": 1}, timeout_s=180)
        checks = node.asked("node", "check")
        kill([first])
        second = _server(node, other_than=first.pid)
        node.send(find_files(folder / "ct" / "after"))
        eventually(lambda: node.states(DELIVERIES) == {"delivered": 2}, timeout_s=180)
        stubs, shared_memory = second.children(recursive=True), _shared_memory(second)
        findings = {study: node.asked("study", "show", uid(study))["jobs"][0]["findings"] for study in BALLS}
    yield Story(
        ct=folder / "ct",
        node=node,
        findings=findings,
        checks=checks,
        servers=(first.pid, second.pid),
        stubs=stubs,
        shared_memory=shared_memory,
    )


@pytest.mark.parametrize("study", BALLS)
def test_findings_are_those_of_onnx_runtime(story: Story, study: str) -> None:
    models = ModelRepository(story.node.config.models)
    result = analysed(find_files(story.ct / study), pipeline_named(models, "jnsc"), OnnxPredictor(models, threads=1))
    assert len(result.findings) == len(BALLS[study])
    for theirs, mine in zip(story.findings[study], result.findings, strict=True):
        assert tuple(theirs["centre_lps"]) == pytest.approx(mine.centre_lps)
        assert theirs["volume_mm3"] == pytest.approx(mine.volume_mm3)
        assert theirs["long_axis_mm"] == pytest.approx(mine.long_axis.length_mm)
        assert theirs["mean_hu"] == pytest.approx(mine.mean_hu)
        assert theirs["score"] == pytest.approx(mine.score, abs=1e-4)
        assert theirs["malignancy"] == pytest.approx(mine.malignancy, abs=1e-4)


def test_the_doctor_gets_an_answer_from_the_models(story: Story) -> None:
    (inference,) = [item for item in story.checks if item["part"] == "inference"]
    assert inference["is_well"]
    assert "answered a canary" in inference["text"]


def test_a_killed_server_is_started_again_and_the_next_study_is_answered(story: Story) -> None:
    assert story.servers[0] != story.servers[1]
    assert len(story.findings["after"]) == 1


def test_nothing_of_the_server_outlives_the_node(story: Story) -> None:
    assert len(story.stubs) >= len(ModelRepository(story.node.config.models).served())
    assert story.shared_memory
    assert [process for process in story.stubs if _lives(process)] == []
    assert [pid for pid in story.servers if psutil.pid_exists(pid) and _lives(psutil.Process(pid))] == []
    assert [path for path in story.shared_memory if path.exists()] == []


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; one that is dead and only waits for its parent to notice does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _server(node: RunningNode, other_than: int = 0) -> psutil.Process:
    """The server of this node as soon as there is one."""
    return eventually(lambda: _servers(node, other_than), timeout_s=120)[0]


def _servers(node: RunningNode, other_than: int) -> list[psutil.Process]:
    children = psutil.Process(node.process.pid).children()
    return [child for child in children if child.name() == "tritonserver" and child.pid != other_than]


def _shared_memory(server: psutil.Process) -> list[Path]:
    """What the server and its models share; its arguments say how that is named."""
    (prefix,) = [word.partition("prefix-name=")[2] for word in server.cmdline() if "prefix-name=" in word]
    return list(Path("/dev/shm").glob(f"{prefix}*"))
