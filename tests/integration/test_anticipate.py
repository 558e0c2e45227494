"""A study that is quiet is analysed before it settles, at nobody's cost, and its result is the same."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.predictor import Predictor
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.job import JobState
from pacs_node.domain.step import Call, Step
from pacs_node.errors import PeerUnreachable
from pacs_node.node import Node
from pacs_node.steps import yielding
from pacs_node.steps.anticipate import anticipate_study
from pacs_node.steps.identity import ahead_key
from pacs_node.steps.plan import foreseen, plan_study
from pacs_node.steps.sweep import sweep, waiting
from tests.support.series import Ball, a_chest_series
from tests.support.steps import (
    PACS,
    QUIET_S,
    Clock,
    all_jobs,
    logged,
    opened_node,
    receive,
    results,
    run_waiting,
)

AHEAD_S = 3.0
EARLY = Call(step=Step.ANTICIPATE, row_id=1)


class Watched:
    """The models, which count questions, and in the middle of which something may happen."""

    def __init__(self, predictor: Predictor, hook: Callable[[], None] = lambda: None) -> None:
        self._predictor = predictor
        self._hook = hook
        self.questions = 0

    def infer(self, *args: Any) -> Any:
        self.questions += 1
        self._hook()
        return self._predictor.infer(*args)


def _watched(node: Node, hook: Callable[[], None] = lambda: None) -> tuple[Node, Watched]:
    models = Watched(node.predictor(), hook)
    return dataclasses.replace(node, predictor=lambda: models), models


@pytest.fixture(autouse=True)
def _always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yielding, "LOOK_S", 0.0)


def _begun(node: Node, clock: Clock, paths: list[Path]) -> None:
    """Receive a study, and let it be quiet for as long as it takes to be analysed ahead."""
    receive(node, paths)
    clock.forward(AHEAD_S)


def _bytes(node: Node) -> list[bytes]:
    (job,) = all_jobs(node)
    return [node.files.path(item.file_key).read_bytes() for item in results(node, job)]


def test_what_was_found_ahead_is_in_the_result_and_the_models_are_not_asked_again(
    any_node: Node, clock: Clock, small_chest: list[Path]
) -> None:
    _begun(any_node, clock, small_chest)
    assert run_waiting(any_node) == [Step.ANTICIPATE]
    assert all_jobs(any_node) == ()
    clock.forward(QUIET_S)
    watched, models = _watched(any_node)
    assert run_waiting(watched) == [Step.PLAN, Step.ANALYSE, Step.COMPOSE, Step.DELIVER]
    assert models.questions == 0


def test_the_result_is_the_same_to_the_byte(
    models: Path, tmp_path: Path, clock: Clock, small_chest: list[Path]
) -> None:
    found = []
    for name, pause_s in (("ahead", AHEAD_S), ("not", AHEAD_S - 1)):
        (tmp_path / name).mkdir()
        clock.time = Clock().time
        url = f"sqlite:///{tmp_path / name / 'database.sqlite'}"
        with opened_node(url, models, tmp_path / name, clock, PACS) as node:
            receive(node, small_chest)
            clock.forward(pause_s)
            ran = run_waiting(node)
            clock.forward(QUIET_S - pause_s)
            run_waiting(node)
            found.append((ran, _bytes(node)))
    assert [ran for ran, _ in found] == [[Step.ANTICIPATE], []]
    assert found[0][1] == found[1][1]


def test_it_is_begun_once_for_what_a_study_is(node: Node, clock: Clock, small_chest: list[Path]) -> None:
    _begun(node, clock, small_chest[:-1])
    assert sweep(node) == (EARLY,)
    assert waiting(node) == ()
    assert [anticipate_study(node, StudyId(1)) for _ in range(2)] == [True, False]
    _begun(node, clock, small_chest[-1:])
    assert sweep(node) == (EARLY,)


def test_a_settled_study_is_not_begun(node: Node, clock: Clock, small_chest: list[Path]) -> None:
    _begun(node, clock, small_chest)
    clock.forward(QUIET_S)
    assert not anticipate_study(node, StudyId(1))


def test_it_is_not_begun_while_another_study_waits(node: Node, clock: Clock, small_chest: list[Path]) -> None:
    receive(node, _another(small_chest))
    clock.forward(QUIET_S)
    _begun(node, clock, small_chest)
    assert [call.step for call in sweep(node)] == [Step.PLAN]
    assert waiting(node) == ()
    assert not anticipate_study(node, StudyId(2))


def test_it_gives_way_to_instances_of_its_own_study(node: Node, clock: Clock, small_chest: list[Path]) -> None:
    paths = _chest(small_chest, slices=22, study="longer")
    _begun(node, clock, paths[:-1])
    watched, models = _watched(node, lambda: receive(node, paths[-1:]))
    with logged("study_anticipated") as said:
        anticipate_study(watched, StudyId(1))
    assert [event["outcome"] for event in said] == ["gave way"]
    assert models.questions == 2  # whether they are there; no window
    clock.forward(QUIET_S)
    run_waiting(node)
    (job,) = all_jobs(node)
    assert job.state is JobState.DONE


def test_it_gives_way_to_another_study(node: Node, clock: Clock, small_chest: list[Path]) -> None:
    receive(node, _another(small_chest))
    clock.forward(QUIET_S - 1)
    receive(node, small_chest)
    clock.forward(AHEAD_S - 1)

    def settle_the_other() -> None:
        clock.forward(1)
        sweep(node)

    with logged("study_anticipated") as said:
        anticipate_study(_watched(node, settle_the_other)[0], StudyId(2))
    assert [event["outcome"] for event in said] == ["gave way"]


def test_it_does_not_give_way_to_its_own_plan_and_job(node: Node, clock: Clock, small_chest: list[Path]) -> None:
    _begun(node, clock, small_chest)

    def settle() -> None:
        clock.forward(QUIET_S)
        for call in sweep(node):
            plan_study(node, StudyId(call.row_id))

    with logged("study_anticipated") as said:
        anticipate_study(_watched(node, settle)[0], StudyId(1))
    assert [event["outcome"] for event in said] == ["found"]
    assert [job.state for job in all_jobs(node)] == [JobState.QUEUED]


def test_an_analysis_waits_for_what_is_about_to_be_found(node: Node, clock: Clock, small_chest: list[Path]) -> None:
    receive(node, small_chest)
    clock.forward(QUIET_S)
    watched, models = _watched(node)
    analysing = threading.Thread(target=run_waiting, args=[watched])
    ((job, _),) = foreseen(node, StudyId(1))
    with node.ahead.making(ahead_key(job)):
        analysing.start()
        analysing.join(1.0)
        assert models.questions == 0
        assert [job.state for job in all_jobs(node)] == [JobState.RUNNING]
    analysing.join()
    assert [job.state for job in all_jobs(node)] == [JobState.DONE]


def test_a_failure_is_left_to_the_analysis_that_was_asked_for(
    node: Node, clock: Clock, small_chest: list[Path]
) -> None:
    _begun(node, clock, small_chest)

    def fail() -> None:
        raise PeerUnreachable

    with logged("study_anticipated") as said:
        anticipate_study(_watched(node, fail)[0], StudyId(1))
    assert [event["outcome"] for event in said] == [PeerUnreachable.code]
    clock.forward(QUIET_S)
    run_waiting(node)
    (job,) = all_jobs(node)
    assert (job.state, job.attempt) == (JobState.DONE, 0)


def test_what_was_found_by_other_models_is_not_taken(node: Node, clock: Clock, small_chest: list[Path]) -> None:
    receive(node, small_chest)
    ((new, _),) = foreseen(node, StudyId(1))
    others = tuple(dataclasses.replace(use, sha256="0" * 64) for use in new.models)
    assert ahead_key(new) != ahead_key(dataclasses.replace(new, models=others))


def test_a_series_that_has_its_job_already_is_not_begun(node: Node, clock: Clock, small_chest: list[Path]) -> None:
    receive(node, small_chest)
    clock.forward(QUIET_S)
    run_waiting(node)
    _begun(node, clock, _chest(small_chest, series="another", slices=5))
    watched, models = _watched(node)
    assert anticipate_study(watched, StudyId(1))
    assert models.questions == 0


def _another(paths: list[Path]) -> list[Path]:
    return _chest(paths, study="another")


def _chest(paths: list[Path], *, slices: int = 20, **names: str) -> list[Path]:
    """The slices of another study, or of another series."""
    folder = paths[0].parent / "-".join(names.values())
    return a_chest_series(
        folder, slices=slices, spacing_mm=5.0, balls=[Ball(centre_lps=(70, 0, 0), diameter_mm=14)], **names
    )
