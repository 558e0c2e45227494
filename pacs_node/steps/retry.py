"""What an administrator may ask for: run a job again, or plan a study again."""

from __future__ import annotations

from typing import Any

from pacs_node.archive import records
from pacs_node.archive.queries import jobs, machine, studies
from pacs_node.archive.queries.machine import FRESH, JOBS, STUDIES, Move
from pacs_node.domain.identifiers import JobId, StudyUid
from pacs_node.domain.job import ENDED, JobEvent, JobState
from pacs_node.domain.study import StudyEvent
from pacs_node.errors import InvalidTransition
from pacs_node.node import Node
from pacs_node.steps.identity import input_digest, inputs_of


def retry_job(node: Node, job_id: JobId) -> None:
    """Queue an ended job again, with the models of its first run.

    Raises
    ------
    NotFound, InvalidTransition : no such job, it has not ended, its series is ineligible, or its instances are not here
    """
    with node.database.transaction() as tx:
        job = jobs.get(tx, job_id)
        if not job.models:
            raise InvalidTransition(
                "its series is ineligible; change the rule or the model, then `pulmonode study retry`"
            )
        if not _is_here(tx, job):
            raise InvalidTransition(
                "its instances are not all here any more; send the study again, then `pulmonode study retry`"
            )
        step = Move(row_id=job_id, state=job.state, event=JobEvent.RETRY, at=node.now())
        machine.move(tx, JOBS, step, **FRESH, reasons=[], findings_key=None)


def retry_study(node: Node, uid: StudyUid) -> None:
    """Plan a study again with the present rules and models, and run its ended jobs that gave no findings again.

    What is here of it is taken for all of it, even if more was deleted.

    Raises
    ------
    NotFound, InvalidTransition : no such study, or it is still being received
    """
    with node.database.transaction() as tx:
        study = studies.find(tx, uid)
        step = Move(row_id=study.id, state=study.state, event=StudyEvent.RETRY, at=node.now())
        machine.move(tx, STUDIES, step, **FRESH)
        studies.forget_deleted(tx, study.id)
        newest = {job.rule: job for job in jobs.of_study(tx, study.id)}  # older ones have been superseded
        ended = [job for job in newest.values() if job.state in ENDED and job.models and _is_here(tx, job)]
        unlucky = [job.id for job in ended if _is_empty(job)]
    for job_id in unlucky:
        retry_job(node, job_id)


def _is_here(tx: Any, job: records.Job) -> bool:
    """Whether the instances that the job was planned on are all here."""
    return input_digest(inputs_of(job, studies.instances(tx, job.study_id)), ()) == job.input_digest


def _is_empty(job: records.Job) -> bool:
    return job.state is JobState.FAILED or bool(job.reasons)
