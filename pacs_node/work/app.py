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

QUEUES = {Step.PLAN: "io", Step.ANALYSE: "gpu", Step.COMPOSE: "io", Step.DELIVER: "deliver"}
"""The queue of each step, so that production can give each kind of work its own workers."""

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
        task_time_limit=config.work.time_limit_s,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport(config),
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
            app.send_task(f"pulmonode.{call.step}", args=[call.row_id], retry=False)
    except (OperationalError, OSError) as error:
        raise BrokerUnavailable from error


def connect(app: Celery, timeout_s: float) -> None:
    """See that the broker answers; raises BrokerUnavailable."""
    try:
        with app.connection_for_write(connect_timeout=timeout_s) as connection:
            connection.ensure_connection(max_retries=1, timeout=timeout_s)
    except (OperationalError, OSError) as error:
        raise BrokerUnavailable from error


def _transport(config: Config) -> dict[str, Any]:
    if not config.broker_url.startswith("filesystem"):
        return {"visibility_timeout": 2 * config.work.time_limit_s} if config.broker_url.startswith("redis") else {}
    folders = {name: config.data / "queue" / name for name in ("messages", "control")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folders["messages"]),
        "data_folder_out": str(folders["messages"]),
        "control_folder": str(folders["control"]),
        "polling_interval": POLL_S,
    }
