"""What an administrator may ask for: run a job again, or plan a study again."""

from __future__ import annotations

from pacs_node.archive import records
from pacs_node.archive.queries import jobs, machine, studies
from pacs_node.archive.queries.machine import JOBS, STUDIES, Move
from pacs_node.domain.identifiers import JobId, StudyUid
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.study import StudyEvent
from pacs_node.errors import InvalidTransition
from pacs_node.node import Node

ENDED = (JobState.DONE, JobState.FAILED)


def retry_job(node: Node, job_id: JobId) -> None:
    """Queue an ended job again, with the models of its first run.

    Raises
    ------
    NotFound, InvalidTransition : no such job, it has not ended, or its series is ineligible
    """
    with node.database.transaction() as tx:
        job = jobs.get(tx, job_id)
        if not job.models:
            raise InvalidTransition(
                "its series is ineligible; change the rule or the model, then `pulmonode study retry`"
            )
        step = Move(row_id=job_id, state=job.state, event=JobEvent.RETRY, at=node.now())
        machine.move(tx, JOBS, step, reasons=[], findings_key=None, attempt=0)


def retry_study(node: Node, uid: StudyUid) -> None:
    """Plan a study again with the present rules and models, and run its ended jobs that gave no findings again.

    Raises
    ------
    NotFound, InvalidTransition : no such study, or it is still being received
    """
    with node.database.transaction() as tx:
        study = studies.find(tx, uid)
        step = Move(row_id=study.id, state=study.state, event=StudyEvent.RETRY, at=node.now())
        machine.move(tx, STUDIES, step)
        newest = {job.rule: job for job in jobs.of_study(tx, study.id)}  # older ones have been superseded
        unlucky = [job.id for job in newest.values() if job.state in ENDED and job.models and _is_empty(job)]
    for job_id in unlucky:
        retry_job(node, job_id)


def _is_empty(job: records.Job) -> bool:
    return job.state is JobState.FAILED or bool(job.reasons)
