"""A job keeps the version that it was planned with while that is served, and is planned again once it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.errors import ModelNotFound
from inference.registry import ModelRepository
from pacs_node.archive.queries import machine
from pacs_node.archive.queries.machine import JOBS, STUDIES
from pacs_node.config import Config, Scp, Settle, Triton
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.job import JobState
from pacs_node.domain.rule import Rule
from pacs_node.domain.step import Step
from pacs_node.node import Node, build
from pacs_node.steps.sweep import sweep
from pacs_node.work.tasks import STEPS
from tests.integration.test_steps import QUIET_S, Clock, all_jobs, receive, run_all, run_waiting
from tests.support.detectors import ball_members, ball_repository
from tests.support.series import Ball, a_chest_series


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A CT with one nodule."""
    ball = Ball(centre_lps=(70, 0, 0), diameter_mm=14)
    return a_chest_series(tmp_path_factory.mktemp("ct"), slices=20, spacing_mm=5.0, balls=[ball])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def node(tmp_path: Path, clock: Clock, chest: list[Path]) -> Iterator[Node]:
    """A node that has planned a study with version 1, and a repository of its own."""
    config = Config(
        data=tmp_path / "data",
        models=ball_repository(tmp_path / "models"),
        scp=Scp(minimum_free_bytes=0),
        settle=Settle(quiet_s=QUIET_S),
        rule=(Rule(name="chest-ct"),),
        triton=Triton(mode="onnx", threads=1),
    )
    opened = dataclasses.replace(build(config), now=clock, chance=lambda: 0.5)
    receive(opened, chest)
    clock.forward(QUIET_S)
    sweep(opened)
    STEPS[Step.PLAN](opened, 1)
    yield opened
    opened.database.close()


def promoted(models: ModelRepository, steepness: float) -> int:
    """The number of a new active version."""
    return models.publish(*ball_members(steepness))[0].version


def ends(node: Node) -> list[tuple[JobState, set[int]]]:
    """The state of every job and the versions that it names, oldest first."""
    return [(job.state, {model.version for model in job.models}) for job in all_jobs(node)]


def test_a_job_ends_on_the_version_that_it_was_planned_with(node: Node) -> None:
    promoted(node.models, 41.0)
    run_all(node)
    assert ends(node) == [(JobState.DONE, {1})]


def test_a_job_whose_version_is_no_longer_served_is_planned_again(node: Node) -> None:
    for steepness in (41.0, 42.0, 43.0):
        newest = promoted(node.models, steepness)
    assert 1 not in node.models.served_versions("jnsc")
    run_all(node)
    assert ends(node) == [(JobState.SUPERSEDED, {1}), (JobState.DONE, {newest})]
    with node.database.transaction() as tx:
        codes = [event.code for event in machine.history(tx, JOBS, 1) if event.code]
        events = [event.event for event in machine.history(tx, STUDIES, StudyId(1))]
    assert codes == ["model.retired"]
    assert events[-3:] == ["retry", "start", "plan"]


def test_a_version_that_is_taken_away_in_the_middle_of_an_analysis_is_the_cause(node: Node) -> None:
    class Gone:
        """A server that is told to serve others just when it is asked."""

        def infer(self, *question: object) -> dict[str, object]:
            for steepness in (41.0, 42.0, 43.0):
                promoted(node.models, steepness)
            raise ModelNotFound("Triton: Request for unknown model: 'jnsc' version 1 is not found")

    once = dataclasses.replace(node, predictor=lambda: Gone())  # type: ignore[arg-type,return-value]
    STEPS[Step.ANALYSE](once, 1)
    assert [state for state, _ in ends(node)] == [JobState.QUEUED]
    assert Step.PLAN in run_waiting(node)
    assert ends(node) == [(JobState.SUPERSEDED, {1}), (JobState.DONE, {4})]


def test_a_server_that_lacks_a_version_which_it_should_serve_ends_the_job_with_that_reason(node: Node) -> None:
    class Lacking:
        """A server that has another copy of the repository."""

        def infer(self, *question: object) -> dict[str, object]:
            raise ModelNotFound("Triton: Request for unknown model: 'jnsc' version 1 is not found")

    once = dataclasses.replace(node, predictor=lambda: Lacking())  # type: ignore[arg-type,return-value]
    STEPS[Step.ANALYSE](once, 1)
    (job,) = all_jobs(node)
    assert (job.state, [reason.code for reason in job.reasons]) == (JobState.ANALYSED, ["model.not-found"])
