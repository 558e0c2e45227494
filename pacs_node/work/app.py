"""The Celery application: JSON only, late acknowledgement, one message at a time, queues by kind of work.

Works the same on RabbitMQ, on Redis and on Kombu's filesystem transport, which needs no server.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from pacs_node.config import Config
from pacs_node.domain.step import Call, Step
from pacs_node.errors import BrokerUnavailable

QUEUES = {
    Step.ANTICIPATE: "gpu",
    Step.COMPLETE: "deliver",
    Step.PLAN: "io",
    Step.ANALYSE: "gpu",
    Step.COMPOSE: "io",
    Step.DELIVER: "deliver",
    Step.REPORT: "deliver",
    Step.CONFIRM: "deliver",
}
"""The queue of each step, so that each kind of work can have its own workers."""
ANALYSING = QUEUES[Step.ANALYSE]
DELIVERING = QUEUES[Step.DELIVER]
"""The queue that always has its own: who waits for destinations must not hold up who analyses. What else is to be said
to peers has a lane for each of them (`steps.lanes`); this queue has only what is left."""

GRACE_S = 60
"""A step whose time is up ends its own process; one that cannot even do that is ended by the kernel so much later."""

POLL_S = 0.05
"""How often the embedded broker looks for messages; Kombu's default of 1 s would delay every step."""


def celery_app(config: Config) -> Celery:
    """The application of this configuration; the tasks are added by `work.tasks`."""
    app = Celery("pulmonode", broker=config.broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport(config),
        broker_heartbeat=0,  # a worker hears nothing of its broker while it runs a step
        task_routes={f"pulmonode.{step}": {"queue": queue} for step, queue in QUEUES.items()},
        task_create_missing_queues=True,
    )
    return app


def ring(app: Celery, calls: tuple[Call, ...]) -> None:
    """Send one message per step that waits.

    Raises
    ------
    BrokerUnavailable : costs only time, the sweep rings again
    """
    try:
        for call in calls:
            app.send_task(
                f"pulmonode.{call.step}", args=[call.row_id], queue=call.lane or QUEUES[call.step], retry=False
            )
    except (OperationalError, OSError) as error:
        raise BrokerUnavailable from error


def connect(app: Celery, timeout_s: float) -> None:
    """See that the broker answers; raises BrokerUnavailable."""
    try:
        with app.connection_for_write(connect_timeout=timeout_s) as connection:
            connection.ensure_connection(max_retries=1, timeout=timeout_s)
    except (OperationalError, OSError) as error:
        raise BrokerUnavailable from error


def time_limit_s(config: Config, step: Step) -> float:
    """When the kernel ends a process that runs a step, in seconds after the start of the step."""
    return config.limits.of(step) + GRACE_S


def _longest_s(config: Config) -> float:
    """A message that nobody acknowledges for so long is delivered again by Redis; if too early, to no effect."""
    return 2 * max(time_limit_s(config, step) for step in Step)


def _transport(config: Config) -> dict[str, Any]:
    if not config.broker_url.startswith("filesystem"):
        return {"visibility_timeout": _longest_s(config)} if config.broker_url.startswith("redis") else {}
    folders = {name: config.data / "queue" / name for name in ("messages", "control")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folders["messages"]),
        "data_folder_out": str(folders["messages"]),
        "control_folder": str(folders["control"]),
        "polling_interval": POLL_S,
    }
