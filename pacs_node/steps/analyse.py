"""Analyse: the series of a job to findings, under a lease, with the model versions that the plan named."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from inference import eligibility
from inference.contract import Contract
from inference.errors import InferenceError, PredictorUnavailable, SeriesIneligible
from inference.findings import Result
from inference.pipeline import Pipeline, Progress, run
from inference.predictor import Predictor, canary
from inference.series import SliceHeader, load, read_headers
from inference.volume import Volume
from pacs_node import log
from pacs_node.archive import findings, records
from pacs_node.archive.queries import jobs, machine, studies
from pacs_node.archive.queries.machine import FRESH, JOBS, STUDIES, Move
from pacs_node.domain.identifiers import JobId
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.retry import ANALYSE, check_worth, delay_s
from pacs_node.domain.rule import Reason
from pacs_node.domain.step import Step
from pacs_node.domain.study import StudyEvent, StudyState
from pacs_node.domain.tracking import Nodule, tracked
from pacs_node.errors import ModelRetired, NodeError, SeriesChanged, StepTimeout
from pacs_node.node import Node
from pacs_node.report import ResultIdentity
from pacs_node.report.identity import derived_tracking_uids
from pacs_node.steps.failure import failure_of
from pacs_node.steps.identity import ahead_key, identity_of, input_digest, inputs_of
from pacs_node.steps.lease import kept, new_holder
from pacs_node.steps.pipelines import pipeline_of
from pacs_node.steps.retire import cause_of, check_served
from pacs_node.steps.waiting import PASSING, wait
from pacs_node.steps.yielding import GivesWay, to_stat


def analyse_job(node: Node, job_id: JobId) -> bool:
    """Analyse a queued job; False if it is not queued (any more)."""
    holder, now = new_holder(), node.now()
    until = now + timedelta(seconds=node.config.work.lease_s)
    with node.database.transaction() as tx:
        if not jobs.claim(tx, job_id, JobEvent.START, now, holder, until):
            return False
        job = jobs.get(tx, job_id)
        instances = studies.instances(tx, job.study_id)
        before = None if job.supersedes_job_id is None else jobs.get(tx, job.supersedes_job_id)
        earlier = () if before is None else jobs.findings(tx, before.id)
    started = time.monotonic()
    try:
        check_worth(ANALYSE, job.attempt, job.strikes)
        with kept(node, Step.ANALYSE, JOBS, job_id, holder, lambda error: _record_failure(node, job, holder, error)):
            check_served(node.models, job)
            paths, pipeline = _paths(node, job, instances), pipeline_of(node.models, job)
            result = _found_ahead(node, job) or _found_now(node, job, paths, pipeline)
            key = node.files.store_result(_name(job_id, holder), findings.encoded(result))
            is_same_space = before is not None and _space(node, instances, before) == _space(node, instances, job)
    except GivesWay:
        _give_way(node, job, holder)
        return True
    except ModelsAway as away:
        if not wait(node, job, JobState.RUNNING, holder, away.cause):
            _record_failure(node, job, holder, away.cause)
        return True
    except Exception as error:  # noqa: BLE001 - the border of the step, see `steps.failure`
        failure = cause_of(failure_of(error), node.models, job)
        if not (isinstance(failure, PASSING) and wait(node, job, JobState.RUNNING, holder, failure)):
            _record_failure(node, job, holder, failure)
        return True
    nodules = _nodules(result, identity_of(job, node.config, before), earlier if is_same_space else ())
    _record_findings(node, job, holder, key, nodules)
    log.event("job_analysed", job_id=job_id, findings=len(result.findings), duration_s=time.monotonic() - started)
    return True


class ModelsAway(Exception):
    """No model was asked about the job yet."""

    def __init__(self, cause: PredictorUnavailable) -> None:
        super().__init__()
        self.cause = cause


def answering(node: Node, pipeline: Pipeline) -> Predictor:
    """The predictor once all models have answered: before the slices are read, and before the attempt counts.

    A server that is away would else use up the attempts of all jobs; one that goes away while it works on a job, again
    and again, may do so because of that job.
    """
    try:
        predictor = node.predictor()
        for name, version in sorted({(use.name, use.version) for use in pipeline.uses}):
            canary(predictor, node.models.contract(name, version))
    except PredictorUnavailable as error:
        raise ModelsAway(error) from error
    return predictor


def _paths(node: Node, job: records.Job, instances: Sequence[records.Instance]) -> list[Path]:
    mine = inputs_of(job, instances)
    if input_digest(mine, ()) != job.input_digest:
        raise SeriesChanged
    return [node.files.path(instance.file_key) for instance in mine]


def _name(job_id: JobId, holder: str) -> str:
    """A file of its own for every lease, so that nobody who lost one writes over what another found."""
    return f"findings-{job_id}-{holder.rpartition('/')[2]}.npz"


def _found_ahead(node: Node, job: records.Job) -> Result | None:
    """What `steps.anticipate` found in the same instances with the same models; waits for it if it is still at it."""
    content = node.ahead.take(ahead_key(job))
    return None if content is None else findings.decoded(content)


def _found_now(node: Node, job: records.Job, paths: Sequence[Path], pipeline: Pipeline) -> Result:
    return analysed(paths, pipeline, answering(node, pipeline), progress=to_stat(node, job))


def _give_way(node: Node, job: records.Job, holder: str) -> None:
    """Let the job wait again, with all attempts that it had."""
    step = Move(row_id=job.id, state=JobState.RUNNING, event=JobEvent.GIVE_WAY, at=node.now(), holder=holder)
    with node.database.transaction() as tx:
        machine.move(tx, JOBS, step, attempt=job.attempt - 1)
    log.event("job_gave_way", job_id=job.id)


def analysed(
    paths: Sequence[Path], pipeline: Pipeline, predictor: Predictor, *, progress: Progress | None = None
) -> Result:
    """The findings in the one series that these files make up.

    Raises
    ------
    InferenceError
    """
    return run(loaded(paths, pipeline.detector)[1], pipeline, predictor, progress=progress)


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
        raise SeriesIneligible(verdict.codes, "; ".join(reason.text for reason in verdict.reasons))
    return verdict.slices, load(verdict.slices, verdict.grid)


def _space(node: Node, instances: Sequence[records.Instance], job: records.Job) -> str:
    """The Frame of Reference of a job's series, in which places can be compared; without one the series itself."""
    paths = [node.files.path(instance.file_key) for instance in inputs_of(job, instances)[:1]]
    frames = [item.frame_of_reference_uid for header in read_headers(paths) for item in header.slices]
    return next(filter(None, frames), job.series_instance_uid)


def _nodules(
    result: Result, identity: ResultIdentity, earlier: Sequence[records.FoundNodule]
) -> list[records.FoundNodule]:
    """The findings as the index keeps them, each with the Tracking UID that it had in an earlier result, or its own."""
    before = [
        Nodule(centre_lps=f.centre_lps, diameter_mm=f.equivalent_diameter_mm, tracking_uid=f.tracking_uid)
        for f in earlier
    ]
    now = [Nodule(centre_lps=f.centre_lps, diameter_mm=f.equivalent_diameter_mm) for f in result.findings]
    uids = zip(tracked(before, now), derived_tracking_uids(identity, len(now)), strict=True)
    return [
        records.FoundNodule(
            number=f.number,
            tracking_uid=kept_uid or own_uid,
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
        for f, (kept_uid, own_uid) in zip(result.findings, uids, strict=True)
    ]


def _record_findings(
    node: Node, job: records.Job, holder: str, key: str, nodules: Sequence[records.FoundNodule]
) -> None:
    with node.database.transaction() as tx:
        step = Move(row_id=job.id, state=JobState.RUNNING, event=JobEvent.FIND, at=node.now(), holder=holder)
        if machine.move(tx, JOBS, step, **FRESH, findings_key=key, reasons=[]):
            jobs.replace_findings(tx, job.id, nodules)


def _record_failure(node: Node, job: records.Job, holder: str, error: InferenceError | NodeError) -> None:
    """Try again later, or go on to a report that says why the series was not analysed."""
    strikes = job.strikes + isinstance(error, StepTimeout)
    wait_s = delay_s(ANALYSE, job.attempt, node.chance(), strikes) if error.retryable else None
    event = JobEvent.REFUSE if wait_s is None else JobEvent.DELAY
    now = node.now()
    step = Move(
        row_id=job.id, state=JobState.RUNNING, event=event, at=now, holder=holder, code=error.code, text=str(error)
    )
    with node.database.transaction() as tx:
        if wait_s is None:
            reasons = [[reason.code, reason.text] for reason in _reasons(error)]
            is_mine = machine.move(tx, JOBS, step, **FRESH, reasons=reasons, findings_key=None)
            if is_mine:
                jobs.replace_findings(tx, job.id, [])
        else:
            is_mine = machine.move(tx, JOBS, step, next_at=now + timedelta(seconds=wait_s), strikes=strikes)
            if is_mine and isinstance(error, ModelRetired):
                again = Move(row_id=job.study_id, state=StudyState.PLANNED, event=StudyEvent.RETRY, at=now)
                machine.move(tx, STUDIES, again, **FRESH)
    log.event("job_not_analysed", job_id=job.id, code=error.code, attempt=job.attempt, next_s=wait_s)


def _reasons(error: InferenceError | NodeError) -> tuple[Reason, ...]:
    codes = error.codes if isinstance(error, SeriesIneligible) else (error.code,)
    return tuple(Reason(code=code, text=str(error)) for code in codes)
