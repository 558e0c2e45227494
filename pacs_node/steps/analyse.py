"""Analyse: the series of a job to findings, under a lease, with the model versions that the plan named."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from inference import eligibility
from inference.contract import Contract
from inference.errors import InferenceError, SeriesIneligible
from inference.findings import Result
from inference.pipeline import Pipeline, run
from inference.predictor import Predictor
from inference.series import SliceHeader, load, read_headers
from inference.volume import Volume
from pacs_node import log
from pacs_node.archive import findings, records
from pacs_node.archive.queries import jobs, machine, studies
from pacs_node.archive.queries.machine import JOBS, STUDIES, Move
from pacs_node.domain.identifiers import JobId
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.retry import ANALYSE, delay_s
from pacs_node.domain.rule import Reason
from pacs_node.domain.study import StudyEvent, StudyState
from pacs_node.errors import ModelRetired, NodeError, SeriesChanged, WorkerLost
from pacs_node.node import Node
from pacs_node.steps.failure import failure_of
from pacs_node.steps.identity import identity_of, input_digest, inputs_of, tracking_uid
from pacs_node.steps.lease import kept, new_holder
from pacs_node.steps.pipelines import pipeline_of
from pacs_node.steps.retire import cause_of, check_served


def analyse_job(node: Node, job_id: JobId) -> None:
    """Analyse a queued job; quietly nothing if it is not queued (any more)."""
    holder, now = new_holder(), node.now()
    until = now + timedelta(seconds=node.config.work.lease_s)
    with node.database.transaction() as tx:
        if not jobs.claim(tx, job_id, JobEvent.START, now, holder, until):
            return
        job = jobs.get(tx, job_id)
        instances = studies.instances(tx, job.study_id)
    started = time.monotonic()
    try:
        with kept(node, JOBS, job_id, holder):
            check_served(node.models, job)
            paths = _paths(node, job, instances)
            result = analysed(paths, pipeline_of(node.models, job), node.predictor())
            key = node.files.store_result(f"findings-{job_id}-{job.attempt}.npz", findings.encoded(result))
    except Exception as error:  # noqa: BLE001 - the border of the step, see `steps.failure`
        _record_failure(node, job, holder, cause_of(failure_of(error), node.models, job))
        return
    _record_findings(node, job, holder, result, key)
    log.event("job_analysed", job_id=job_id, findings=len(result.findings), duration_s=time.monotonic() - started)


def _paths(node: Node, job: records.Job, instances: Sequence[records.Instance]) -> list[Path]:
    if job.attempt > ANALYSE.attempts:
        raise WorkerLost
    mine = inputs_of(job, instances)
    if input_digest(mine, ()) != job.input_digest:
        raise SeriesChanged
    return [node.files.path(instance.file_key) for instance in mine]


def analysed(paths: Sequence[Path], pipeline: Pipeline, predictor: Predictor) -> Result:
    """The findings in the one series that these files make up.

    Raises
    ------
    InferenceError
    """
    return run(loaded(paths, pipeline.detector)[1], pipeline, predictor)


def loaded(paths: Sequence[Path], detector: Contract) -> tuple[tuple[SliceHeader, ...], Volume]:
    """The slices in their order and the volume of the one series that these files make up.

    Raises
    ------
    SeriesIneligible, SeriesUnreadable
    """
    assert detector.limits is not None
    (header,) = read_headers(paths)
    verdict = eligibility.judge(header, detector.limits)
    if verdict.grid is None:
        raise SeriesIneligible(tuple(reason.code for reason in verdict.reasons), verdict.reasons[0].text)
    return verdict.slices, load(verdict.slices, verdict.grid)


def _record_findings(node: Node, job: records.Job, holder: str, result: Result, key: str) -> None:
    identity = identity_of(job, node.config)
    nodules = [
        records.FoundNodule(
            number=f.number,
            tracking_uid=tracking_uid(identity, f.number),
            centre_lps=f.centre_lps,
            volume_mm3=f.volume_mm3,
            equivalent_diameter_mm=f.equivalent_diameter_mm,
            long_axis_mm=f.long_axis.length_mm,
            short_axis_mm=f.short_axis.length_mm,
            mean_hu=f.mean_hu,
            attenuation=f.attenuation,
            laterality=f.laterality,
            score=f.score,
            malignancy=f.malignancy,
        )
        for f in result.findings
    ]
    with node.database.transaction() as tx:
        step = Move(row_id=job.id, state=JobState.RUNNING, event=JobEvent.FIND, at=node.now(), holder=holder)
        if machine.move(tx, JOBS, step, findings_key=key, reasons=[], attempt=0):
            jobs.replace_findings(tx, job.id, nodules)


def _record_failure(node: Node, job: records.Job, holder: str, error: InferenceError | NodeError) -> None:
    """Try again later, or go on to a report that says why the series was not analysed."""
    wait_s = delay_s(ANALYSE, job.attempt, node.chance()) if error.retryable else None
    event = JobEvent.REFUSE if wait_s is None else JobEvent.DELAY
    now = node.now()
    step = Move(
        row_id=job.id, state=JobState.RUNNING, event=event, at=now, holder=holder, code=error.code, text=str(error)
    )
    with node.database.transaction() as tx:
        if wait_s is None:
            reasons = [[reason.code, reason.text] for reason in _reasons(error)]
            machine.move(tx, JOBS, step, reasons=reasons, findings_key=None, attempt=0)
            jobs.replace_findings(tx, job.id, [])
        elif machine.move(tx, JOBS, step, next_at=now + timedelta(seconds=wait_s)) and isinstance(error, ModelRetired):
            again = Move(row_id=job.study_id, state=StudyState.PLANNED, event=StudyEvent.RETRY, at=now)
            machine.move(tx, STUDIES, again)
    log.event("job_not_analysed", job_id=job.id, code=error.code, attempt=job.attempt, next_s=wait_s)


def _reasons(error: InferenceError | NodeError) -> tuple[Reason, ...]:
    codes = error.codes if isinstance(error, SeriesIneligible) else (error.code,)
    return tuple(Reason(code=code, text=str(error)) for code in codes)
