"""The tasks: each runs one step on one row and rings for what waits after it."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from celery import Celery

from inference.errors import InferenceError
from pacs_node import log
from pacs_node.config import Config
from pacs_node.domain.step import Step
from pacs_node.errors import NodeError
from pacs_node.node import Node, build
from pacs_node.steps.analyse import analyse_job
from pacs_node.steps.anticipate import anticipate_study
from pacs_node.steps.choose import run_next
from pacs_node.steps.commit import report_commitment
from pacs_node.steps.complete import complete_study
from pacs_node.steps.compose import compose_result
from pacs_node.steps.confirm import confirm_delivery
from pacs_node.steps.deliver import deliver_result
from pacs_node.steps.plan import plan_study
from pacs_node.steps.sweep import take_back, waiting
from pacs_node.work.app import ring, time_limit_s

STEPS: dict[Step, Callable[[Node, Any], bool]] = {
    Step.ANTICIPATE: anticipate_study,
    Step.COMPLETE: complete_study,
    Step.PLAN: plan_study,
    Step.ANALYSE: analyse_job,
    Step.COMPOSE: compose_result,
    Step.DELIVER: deliver_result,
    Step.REPORT: report_commitment,
    Step.CONFIRM: confirm_delivery,
}


def add_tasks(app: Celery, config: Config) -> None:
    """Add the task of every step; the node is built in the process that runs the first task."""
    node = cache(lambda: build(config))
    for step, run in STEPS.items():
        app.task(_task(app, step, run, node, time_limit_s(config, step)), name=f"pulmonode.{step}")


def _task(
    app: Celery, step: Step, run: Callable[[Node, Any], bool], node: Callable[[], Node], limit_s: float
) -> Callable[[int], None]:
    def task(row_id: int) -> None:
        started = time.monotonic()
        outcome = "failed"
        signal.alarm(math.ceil(limit_s))  # nobody handles it: the kernel ends the process, whatever that is caught in
        try:
            take_back(node())
            row_id = run_next(node(), step, row_id, run)
            ring(app, waiting(node()))
            outcome = "ended"
        except (NodeError, InferenceError) as error:
            outcome = error.code
        finally:
            signal.alarm(0)
            log.event("step_ended", step=step, count=row_id, outcome=outcome, duration_s=time.monotonic() - started)

    task.__name__ = step.value
    return task
