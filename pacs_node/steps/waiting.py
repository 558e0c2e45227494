"""A job that cannot go on for want of something that is nobody's doing: it waits, with all attempts that it had.

Models that do not answer, a disk that is full or fails, slices that came while the job was planned. Called from
`steps.analyse` and `steps.compose`.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from inference.errors import InferenceError, PredictorBroken, PredictorTimeout, PredictorUnavailable, SeriesInaccessible
from pacs_node import log
from pacs_node.archive import records
from pacs_node.archive.queries import machine
from pacs_node.archive.queries.machine import JOBS, Move
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.retry import wait_s
from pacs_node.errors import NodeError, SeriesChanged, StorageFailed, StorageFull
from pacs_node.node import Node

PASSING = (StorageFull, StorageFailed, SeriesInaccessible, SeriesChanged)
"""What keeps a job from being done and is not its doing, whenever it is met. A series that changed is planned anew as
soon as nothing more comes of it, and its job superseded."""

MODELS = (PredictorUnavailable, PredictorTimeout, PredictorBroken)
"""What models that do not answer say; before an attempt, it is not the doing of the job."""

_CODES = frozenset(kind.code for kind in (*PASSING, *MODELS))
_BETWEEN = (JobEvent.START, JobEvent.COMPOSE, JobEvent.EXPIRE)


def wait(node: Node, job: records.Job, state: JobState, holder: str, error: InferenceError | NodeError) -> bool:
    """Let a job wait; False if it has waited for a day without anything else.

    Parameters
    ----------
    state : the one that the holder works in
    """
    now = node.now()
    pause_s = wait_s((now - _since(node, job, now)).total_seconds(), node.chance())
    if pause_s is None:
        return False
    step = Move(
        row_id=job.id, state=state, event=JobEvent.DELAY, at=now, holder=holder, code=error.code, text=str(error)
    )
    with node.database.transaction() as tx:
        machine.move(tx, JOBS, step, next_at=now + timedelta(seconds=pause_s), attempt=job.attempt - 1)
    log.event("job_waits", level=logging.WARNING, job_id=job.id, code=error.code, next_s=pause_s)
    return True


def _since(node: Node, job: records.Job, now: datetime) -> datetime:
    """When the job had to wait first, of the times without anything but that in between; now if it is the first.

    The job may be much older: it may have waited for its turn, or have been asked for again.
    """
    with node.database.transaction() as tx:
        events = machine.history(tx, JOBS, job.id)
    since = now
    for line in reversed(events):
        if line.event == JobEvent.DELAY and line.code in _CODES:
            since = line.at
        elif line.event not in _BETWEEN:
            break
    return since
