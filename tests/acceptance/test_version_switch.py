"""Versions are published, promoted and rolled back under a stream of studies: none is lost, none meets two versions.

The story is told once, on the embedded Triton; the tests look at what was noted meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from inference.errors import InferenceError, PredictorUnavailable, ReleaseInvalid
from inference.registry import ModelRepository
from inference.triton.wheel import find_wheel
from pacs_node.archive.queries import jobs
from pacs_node.archive.queries.machine import DELIVERIES
from pacs_node.archive.records import Job
from pacs_node.archive.session import Database
from pacs_node.demo.pacs import free_port
from pacs_node.domain.job import JobState
from pacs_node.steps.publish import Live, Switch, live_of, promote, publish, rollback
from tests.support.detectors import ball_release
from tests.support.nodes import RunningNode, eventually, running_node, small_pacs
from tests.support.series import Ball, a_chest_series

pytestmark = [pytest.mark.triton, pytest.mark.slow]

STUDIES = 9
MODELS = {"jnsc", "jnsc_head"}
UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


@dataclass(slots=True, kw_only=True)
class Story:
    """What was seen.

    Parameters
    ----------
    node : the node
    received : the results at the PACS
    jobs : as they were in the end
    unfinished : versions of the jobs that were not analysed yet after a switch, by their id
    active : what every promotion and rollback made active
    refused : why a broken version was refused
    """

    node: RunningNode
    received: list[Dataset] = field(default_factory=list)
    jobs: tuple[Job, ...] = ()
    unfinished: dict[int, set[int]] = field(default_factory=dict)
    active: list[int | None] = field(default_factory=list)
    refused: str = ""

    def switched(self, done: Switch) -> None:
        """Note what is active now, and which jobs the switch met before their end."""
        self.active.append(done.active)
        self.unfinished |= {job.id: versions_of(job) for job in jobs_of(self.node) if job.state in UNFINISHED}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    try:
        find_wheel()
    except PredictorUnavailable as reason:
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("versions")
    ball = Ball(centre_lps=(70, 0, 0), diameter_mm=14)
    studies = [
        a_chest_series(folder / f"ct/{number}", slices=20, spacing_mm=5.0, balls=[ball], study=f"study {number}")
        for number in range(STUDIES)
    ]
    second, third, broken = (ball_release(folder / str(steepness), steepness) for steepness in (41.0, 42.0, 43.0))
    (broken / "jnsc/model.onnx").write_bytes(b"junk")
    settings = f'[triton]\nmode = "embedded"\nurl = "127.0.0.1:{free_port()}"\nthreads = 1'
    with (
        small_pacs(folder / "pacs") as pacs,
        running_node(folder / "node", settings=settings, destinations=[pacs.destination]) as node,
    ):
        story, models = Story(node=node), ModelRepository(node.config.models)
        live = live_of(node.config, models)
        eventually(lambda: is_answering(live), timeout_s=120)
        with streamed(node, studies[:2]):
            publish(models, live, second, silently)
        with streamed(node, studies[2:5]):
            await_planned(node, 4)
            story.switched(promote(models, live, "jnsc", None, silently))
        await_planned(node, 5)
        with streamed(node, studies[5:7]), pytest.raises(ReleaseInvalid) as refusal:
            publish(models, live, broken, silently)
        story.refused = str(refusal.value)
        publish(models, live, third, silently)
        await_planned(node, 7)
        story.switched(promote(models, live, "jnsc", 3, silently))
        node.send(studies[7])
        await_planned(node, 8)
        story.switched(rollback(models, live, "jnsc", silently))
        node.send(studies[8])
        eventually(lambda: node.states(DELIVERIES) == {"delivered": STUDIES}, timeout_s=200)
        story.jobs = jobs_of(node)
        story.received = [dcmread(path) for path in pacs.folder.glob("*.dcm")]
    yield story


def silently(text: str) -> None:
    """Nobody reads along."""


def await_planned(node: RunningNode, count: int) -> None:
    eventually(lambda: len(jobs_of(node)) >= count)


def is_answering(live: Live) -> bool:
    try:
        live.load("jnsc_head")
    except InferenceError:
        return False
    return True


@contextmanager
def streamed(node: RunningNode, studies: list[list[Path]]) -> Iterator[None]:
    """Send one study after the other while the block runs, and what is left after it."""
    thread = threading.Thread(target=lambda: [node.send(study) for study in studies])
    thread.start()
    try:
        yield
    finally:
        thread.join()


def jobs_of(node: RunningNode) -> tuple[Job, ...]:
    database = Database(node.config.database_url)
    try:
        with database.transaction() as tx:
            return jobs.listed(tx, 100)
    finally:
        database.close()


def versions_of(job: Job) -> set[int]:
    return {model.version for model in job.models}


def test_no_study_is_lost_and_none_is_analysed_twice(story: Story) -> None:
    assert [job.state for job in story.jobs] == [JobState.DONE] * STUDIES
    assert len({job.study_instance_uid for job in story.jobs}) == STUDIES
    assert len(story.received) == 2 * STUDIES


def test_every_job_and_every_result_name_one_version_with_its_hashes(story: Story) -> None:
    models = ModelRepository(story.node.config.models)
    planned = {job.study_instance_uid: {(m.name, m.version, m.sha256) for m in job.models} for job in story.jobs}
    for result in story.received:
        used = [item for item in result.ContributingEquipmentSequence if item.ManufacturerModelName in MODELS]
        named = {(item.ManufacturerModelName, int(item.SoftwareVersions), item.DeviceSerialNumber) for item in used}
        assert {model for model, _, _ in named} == MODELS
        assert len({version for _, version, _ in named}) == 1
        assert all(models.contract(model, version).sha256 == sha256 for model, version, sha256 in named)
        assert named == planned[result.StudyInstanceUID]


def test_studies_in_flight_at_a_switch_end_on_the_version_that_they_began_with(story: Story) -> None:
    ended = {job.id: versions_of(job) for job in story.jobs}
    assert story.unfinished
    assert {job: ended[job] for job in story.unfinished} == story.unfinished


def test_new_studies_get_the_version_that_is_active_then(story: Story) -> None:
    assert story.active == [2, 3, 2]
    by_study = [versions_of(job) for job in sorted(story.jobs, key=lambda job: job.id)]
    assert by_study[:2] == [{1}, {1}]
    assert by_study[-4:] == [{2}, {2}, {3}, {2}]


def test_a_broken_version_is_refused_with_a_reason(story: Story) -> None:
    assert story.refused == "jnsc: model.onnx does not have the SHA-256 that contract.json names"


def test_the_versions_before_and_after_stay_served(story: Story) -> None:
    models = ModelRepository(story.node.config.models)
    assert models.served_versions("jnsc") == models.served_versions("jnsc_head") == (1, 2, 3)
