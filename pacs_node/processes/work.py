"""The process that works: a Celery worker with a pool of processes."""

from __future__ import annotations

import warnings

from pacs_node.config import Config
from pacs_node.node import build
from pacs_node.steps.pipelines import check_rules
from pacs_node.steps.sweep import ring_anew
from pacs_node.work.app import QUEUES, celery_app
from pacs_node.work.tasks import add_tasks


def work(config: Config, queues: tuple[str, ...] = ()) -> None:
    """Run steps until the process is told to stop; TERM lets the running steps end.

    Parameters
    ----------
    queues : of "io", "gpu", "deliver"; all if empty

    Raises
    ------
    ConfigInvalid : a rule chooses what is not in the model repository
    DatabaseUnavailable, StorageFailed : at the start
    """
    node = build(config)
    check_rules(node.models, config.rule)
    ring_anew(node)
    node.database.close()
    # Celery warns of root because pickled messages could then do anything; ours are JSON with one number.
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")
    app = celery_app(config)
    add_tasks(app, lambda: build(config))
    worker = app.Worker(
        pool="prefork",
        concurrency=config.work.processes,
        queues=list(queues or sorted(set(QUEUES.values()))),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
