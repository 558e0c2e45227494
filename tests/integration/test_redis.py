"""What Redis may do to messages: forget them all, and deliver one again while its task still runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection

from pacs_node.archive.queries import machine
from pacs_node.archive.queries.machine import JOBS
from pacs_node.config import Destination, Queue
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.job import JobState
from pacs_node.domain.step import Step
from pacs_node.node import Node
from pacs_node.steps.choose import run_next
from pacs_node.steps.sweep import RING_AGAIN, sweep
from pacs_node.work.app import QUEUES, celery_app, ring
from pacs_node.work.tasks import STEPS
from tests.support.nodes import eventually
from tests.support.services import redis_database
from tests.support.steps import QUIET_S, Clock, all_jobs, delivery_states, hooked, inside, receive

pytestmark = pytest.mark.services


@pytest.fixture
def url() -> Iterator[str]:
    """An empty database of Redis."""
    with redis_database() as url:
        yield url


def _app(node: Node, url: str, **options: Any) -> Celery:
    app = celery_app(dataclasses.replace(node.config, queue=Queue(broker_url=url)))
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, **options}
    return app


def _message(connection: Connection) -> Any:
    """The next message of any queue, not acknowledged yet; None if there is none."""
    channel = connection.default_channel
    channel.qos.restore_visible(interval=1)
    return next(filter(None, map(channel.basic_get, sorted(set(QUEUES.values())))), None)


def _flush(server: redis.Redis) -> None:
    """Forget everything but that this database is in use by a test."""
    mark = server.get("pulmonode-test")
    server.flushdb()
    server.set("pulmonode-test", mark, ex=3600)


def _run(node: Node, message: Any) -> int:
    """What a task does with its message."""
    step = Step(message.headers["task"].removeprefix("pulmonode."))
    ((row_id,), _, _) = message.decode()
    return run_next(node, step, row_id, STEPS[step])


def test_a_broker_that_forgets_everything_costs_time_only(
    node: Node, clock: Clock, small_chest: list[Path], url: str
) -> None:
    sent: list[Sequence[Path]] = []

    def send(destination: Destination, paths: Sequence[Path]) -> None:
        sent.append(paths)

    counted = dataclasses.replace(node, send=send)
    app = _app(node, url)
    receive(counted, small_chest)
    clock.forward(QUIET_S)
    with app.connection_for_read() as connection, redis.Redis.from_url(url) as server:
        for _ in (Step.PLAN, Step.ANALYSE, Step.COMPOSE, Step.DELIVER):
            ring(app, sweep(counted))
            assert server.dbsize() > 1
            _flush(server)
            assert _message(connection) is None
            ring(app, sweep(counted))
            assert _message(connection) is None  # nobody knows yet
            clock.forward(RING_AGAIN.total_seconds() + 1)
            ring(app, sweep(counted))
            message = _message(connection)
            _run(counted, message)
            message.ack()
        ring(app, sweep(counted))
        assert _message(connection) is None
    (job,) = all_jobs(node)
    assert (job.state, delivery_states(node, job)) == (JobState.DONE, [DeliveryState.DELIVERED])
    assert len(sent) == 1


def test_a_message_that_is_delivered_again_while_its_task_runs_starts_nothing(
    node: Node, clock: Clock, small_chest: list[Path], url: str
) -> None:
    """Redis does so with every message that is not acknowledged within its visibility time-out."""
    app = _app(node, url, visibility_timeout=0.1)
    receive(node, small_chest)
    clock.forward(QUIET_S)
    sweep(node)
    STEPS[Step.PLAN](node, 1)
    ring(app, sweep(node))
    tags: list[str] = []

    def again() -> None:
        if len(tags) == 1:
            with app.connection_for_read() as other:
                message = eventually(lambda: _message(other))
                tags.append(message.headers["id"])
                _run(node, message)
                message.ack()

    with app.connection_for_read() as connection:
        message = _message(connection)
        tags.append(message.headers["id"])
        _run(hooked(node, Step.ANALYSE, again), message)
        message.ack()
    assert len(tags) == 2
    assert tags[0] == tags[1]
    history = inside(node, lambda tx: machine.history(tx, JOBS, 1))
    assert [event.event for event in history] == ["create", "start", "find"]
