"""The processes that work: a head, and Celery workers that each run one step at a time in a process forked from it.

`[work] processes` of them analyse. One plans and composes, so that a study need not wait for somebody's analysis until
it is known how urgent it is. The others deliver, so that destinations that hang cannot hold up an analysis: as many as
there are destinations; as each of these is sent one result at a time, none waits for another. Every peer that is asked
what it holds or keeps, or told what we keep, has a lane and a worker of its own for that (`steps.lanes`).

This is not Celery's own pool: its processes share a queue and a lock, and one that is killed while it holds the lock
stops all others for ever. Forked, because what a worker imports takes seconds and a quarter of a gigabyte.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from inference.registry import ModelRepository
from pacs_node import log
from pacs_node.config import Config
from pacs_node.node import build
from pacs_node.processes.children import RESTART_S, die_with_parent
from pacs_node.processes.starting import awaited
from pacs_node.steps.lanes import fetching_lanes, lanes
from pacs_node.steps.pipelines import check_rules
from pacs_node.steps.reindex import reindex
from pacs_node.steps.sweep import ring_anew
from pacs_node.work.app import ANALYSING, DELIVERING, QUEUES, celery_app
from pacs_node.work.tasks import add_tasks

ALL_QUEUES = frozenset(QUEUES.values())


def work(config: Config, queues: Collection[str], stop: threading.Event) -> None:
    """Keep the workers of these queues alive until `stop` is set; the running steps may end.

    Parameters
    ----------
    queues : of "io", "gpu", "deliver"

    Raises
    ------
    ConfigInvalid : a rule chooses what is not in the model repository
    DatabaseUnavailable : `stop` was set before there was one
    StorageFailed : at the start
    """
    check_rules(ModelRepository(config.models), config.rule)
    node = awaited(lambda: build(config), stop)
    awaited(lambda: ring_anew(node), stop)
    node.database.close()  # a connection must not be in two processes
    crew = [Worker(config, served) for served in shifts(config, queues)]
    try:
        while not stop.wait(0.2):
            for worker in crew:
                worker.keep_alive()
    finally:
        for worker in crew:
            worker.terminate()
        for worker in crew:
            worker.join()


def shifts(config: Config, queues: Collection[str]) -> list[tuple[str, ...]]:
    """The queues of each worker."""
    working: list[tuple[str, ...]] = [(ANALYSING,)] * (config.work.processes if ANALYSING in queues else 0)
    working += [(queue,) for queue in sorted(set(queues) - {ANALYSING, DELIVERING})]
    if DELIVERING not in queues:
        return working
    return working + [(DELIVERING,)] * max(1, len(config.destination)) + [(lane,) for lane in lanes(config)]


@dataclass(slots=True)
class Worker:
    """One process that works on these queues, started again when it dies."""

    config: Config
    queues: tuple[str, ...]
    process: BaseProcess | None = None
    started_at: float = field(default=0.0)

    def keep_alive(self) -> None:
        """Fork it if it does not run."""
        if self.process is not None and self.process.is_alive():
            return
        if self.process is not None:
            log.event("process_died", process="worker", exit_code=self.process.exitcode)
            self.process = None
        if time.monotonic() - self.started_at >= RESTART_S:
            self.started_at = time.monotonic()
            context = multiprocessing.get_context("fork")
            self.process = context.Process(target=_run_steps, args=[self.config, self.queues])
            self.process.start()

    def terminate(self) -> None:
        """Let it end its step, and then end."""
        if self.process is not None:
            self.process.terminate()

    def join(self) -> None:
        """Wait for its end."""
        if self.process is not None:
            self.process.join()


def catch_up(config: Config, queues: Collection[str]) -> None:
    """Index what a worker of these queues had fetched when it was killed; nothing if none of them fetches."""
    if fetching_lanes(config).isdisjoint(queues):
        return
    node = awaited(lambda: build(config), threading.Event())
    awaited(lambda: reindex(node), threading.Event())
    node.database.close()


def _run_steps(config: Config, queues: tuple[str, ...]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):  # those of the head would only tell its own loop
        signal.signal(number, signal.SIG_DFL)
    die_with_parent()
    catch_up(config, queues)
    app = celery_app(config)
    add_tasks(app, config)
    worker = app.Worker(
        pool="solo",
        queues=list(queues),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
