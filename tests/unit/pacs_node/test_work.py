"""Who works on what: some deliver and others do the rest, so that destinations that hang hold up no analysis."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys

import pytest

from pacs_node.config import Caller, Config, Destination, Limits, Query, Queue, Scp
from pacs_node.domain.step import Call, Step
from pacs_node.processes.work import ALL_QUEUES, shifts
from pacs_node.steps.lanes import lanes
from pacs_node.work.app import celery_app, ring, time_limit_s

PACS = Destination(name="pacs", ae_title="PACS", host="h", port=104)
A_STUCK_STEP = """
import re
from pacs_node.work import app, tasks
from pacs_node.config import Config
from pacs_node.domain.step import Step
app.GRACE_S = -Config().limits.plan_s + 0.5
tasks.build = lambda config: None
tasks.take_back = lambda node: re.match("(a+)+$", "a" * 60 + "b")  # for longer than anybody lives, and without a break
celery = app.celery_app(Config(data=__import__("pathlib").Path(__import__("tempfile").mkdtemp())))
tasks.add_tasks(celery, Config())
celery.tasks["pulmonode." + Step.PLAN](1)
"""


@pytest.mark.parametrize(("count", "expected"), [(0, 1), (1, 1), (5, 5)])
def test_every_queue_has_its_workers_and_every_destination_one_that_delivers(count: int, expected: int) -> None:
    config = Config(destination=(PACS,) * count)
    assert shifts(config, ALL_QUEUES) == [("gpu",)] * config.work.processes + [("io",)] + [("deliver",)] * expected


def test_every_peer_that_is_asked_or_told_something_has_a_worker_of_its_own_for_that() -> None:
    asked = dataclasses.replace(PACS, name="asked", commitment=True)
    callers = (Caller(ae_title="CT1", host="ct1", port=104), Caller(ae_title="CT2"))
    queries = tuple(Query(ae_title="PACS", host=host, port=104) for host in ("h", "other"))
    config = Config(destination=(PACS, asked), scp=Scp(callers=callers), query=queries)
    served = shifts(config, ["deliver"])
    assert served[:2] == [("deliver",)] * 2
    assert len(set(served[2:])) == 4, "one for CT1, one for the destination, one for each PACS that is queried"
    assert all(len(queues) == 1 for queues in served)


def test_the_same_peer_under_two_names_has_one_worker() -> None:
    twice = tuple(dataclasses.replace(PACS, name=name, commitment=True) for name in "ab")
    assert len(lanes(Config(destination=twice))) == 1


def test_a_message_goes_to_the_lane_of_its_peer() -> None:
    app = celery_app(Config(queue=Queue(broker_url="memory://")))
    ring(app, (Call(step=Step.REPORT, row_id=7, lane="deliver-commit-1"), Call(step=Step.DELIVER, row_id=8)))
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        found = {name: channel.basic_get(name) for name in ("deliver-commit-1", "deliver")}
    assert {name: message.headers["task"] for name, message in found.items()} == {
        "deliver-commit-1": "pulmonode.report",
        "deliver": "pulmonode.deliver",
    }


@pytest.mark.parametrize(("queue", "expected"), [("gpu", [("gpu",)] * 2), ("deliver", [("deliver",)])])
def test_workers_of_one_queue_do_nothing_else(queue: str, expected: list[tuple[str, ...]]) -> None:
    assert shifts(Config(), [queue]) == expected


def test_the_kernel_ends_a_step_only_after_the_step_had_time_to_end_itself() -> None:
    config = Config(limits=Limits(plan_s=10, analyse_s=20, compose_s=30, deliver_s=40))
    for step in (Step.PLAN, Step.ANALYSE, Step.COMPOSE, Step.DELIVER):
        assert time_limit_s(config, step) == config.limits.of(step) + 60


def test_a_process_that_lets_no_other_thread_run_is_ended_by_the_kernel_when_its_time_is_up() -> None:
    done = subprocess.run([sys.executable, "-c", A_STUCK_STEP], timeout=60, check=False)
    assert done.returncode == -signal.SIGALRM


def test_redis_delivers_no_message_again_before_its_step_has_ended() -> None:
    config = Config(limits=Limits(analyse_s=7200), queue=Queue(broker_url="redis://h/0"))
    assert celery_app(config).conf.broker_transport_options["visibility_timeout"] > time_limit_s(config, Step.ANALYSE)
