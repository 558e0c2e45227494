"""The tasks: each runs one step on one row and rings for what waits after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

from celery import Celery

from inference.errors import InferenceError
from pacs_node import log
from pacs_node.domain.step import Step
from pacs_node.errors import NodeError
from pacs_node.node import Node
from pacs_node.steps.analyse import analyse_job
from pacs_node.steps.compose import compose_result
from pacs_node.steps.deliver import deliver_result
from pacs_node.steps.plan import plan_study
from pacs_node.steps.sweep import waiting
from pacs_node.work.app import ring

STEPS: dict[Step, Callable[[Node, Any], None]] = {
    Step.PLAN: plan_study,
    Step.ANALYSE: analyse_job,
    Step.COMPOSE: compose_result,
    Step.DELIVER: deliver_result,
}


def add_tasks(app: Celery, build: Callable[[], Node]) -> None:
    """Add the task of every step; the node is built in the process that runs the first task."""
    node = cache(build)
    for step, run in STEPS.items():
        app.task(_task(app, step, run, node), name=f"pulmonode.{step}")


def _task(app: Celery, step: Step, run: Callable[[Node, Any], None], node: Callable[[], Node]) -> Callable[[int], None]:
    def task(row_id: int) -> None:
        started = time.monotonic()
        outcome = "failed"
        try:
            run(node(), row_id)
            ring(app, waiting(node()))
            outcome = "ended"
        except (NodeError, InferenceError) as error:
            outcome = error.code
        finally:
            log.event("step_ended", step=step, count=row_id, outcome=outcome, duration_s=time.monotonic() - started)

    task.__name__ = step.value
    return task
