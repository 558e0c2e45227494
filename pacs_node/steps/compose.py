"""Compose: the findings of a job, or the reasons why there are none, to SEG and SR, checked before they leave."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from inference.contract import Contract
from inference.errors import InferenceError
from inference.findings import Result
from pacs_node import log, report
from pacs_node.archive import findings, records
from pacs_node.archive.queries import deliveries, jobs, machine, studies
from pacs_node.archive.queries.machine import JOBS, Move
from pacs_node.config import Report
from pacs_node.domain.identifiers import InstanceUid, JobId
from pacs_node.domain.job import JobEvent, JobState
from pacs_node.domain.retry import COMPOSE, delay_s
from pacs_node.domain.rule import Reason
from pacs_node.errors import NodeError, ResultInvalid, WorkerLost
from pacs_node.node import Node
from pacs_node.report import check, stored
from pacs_node.steps.analyse import loaded
from pacs_node.steps.failure import failure_of
from pacs_node.steps.identity import identity_of, inputs_of
from pacs_node.steps.lease import kept, new_holder
from pacs_node.steps.pipelines import pipeline_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """What a result is composed of.

    Parameters
    ----------
    paths : instances of the analysed (or refused) series, in any order
    result : the findings; None if the series was not analysed because of `reasons`
    detector : says what series it may be used on; None without findings
    composed_at : the same for every run of the same job
    predecessor : file of the report that this one supersedes
    """

    paths: tuple[Path, ...]
    result: Result | None
    reasons: tuple[Reason, ...]
    identity: report.ResultIdentity
    detector: Contract | None
    options: Report
    station: str
    composed_at: datetime
    predecessor: Path | None = None


def compose_result(node: Node, job_id: JobId) -> None:
    """Compose an analysed job and make its deliveries due; quietly nothing if it is not analysed (any more)."""
    holder, now = new_holder(), node.now()
    until = now + timedelta(seconds=node.config.work.lease_s)
    with node.database.transaction() as tx:
        if not jobs.claim(tx, job_id, JobEvent.COMPOSE, now, holder, until):
            return
        job = jobs.get(tx, job_id)
        instances = studies.instances(tx, job.study_id)
        before = jobs.results(tx, job.supersedes_job_id) if job.supersedes_job_id is not None else ()
    started = time.monotonic()
    try:
        with kept(node, JOBS, job_id, holder):
            if job.attempt > COMPOSE.attempts:
                raise WorkerLost
            documents = composed(_composition(node, job, instances, before))
            kept_files = [_kept(node, job, document) for document in documents]
    except Exception as error:  # noqa: BLE001 - the border of the step, see `steps.failure`
        _record_failure(node, job, holder, failure_of(error))
        return
    _record_result(node, job, holder, kept_files)
    log.event("job_composed", job_id=job_id, instances=len(documents), duration_s=time.monotonic() - started)


def composed(what: Composition) -> tuple[report.Document, ...]:
    """The documents of a result, after they have passed the own check.

    Raises
    ------
    ResultInvalid : the check found something
    InstanceUnreadable : no instance of the series can be read
    """
    slices, volume = ((), None) if what.detector is None else loaded(what.paths, what.detector)
    source, frames = stored.read_source(slices) if slices else (stored.read_headers(what.paths), ())
    request = report.ReportRequest(
        source=source,
        frame_numbers=frames,
        result=what.result,
        reasons=what.reasons,
        identity=what.identity,
        composed_at=what.composed_at,
        options=report.ReportOptions(
            sr_class=report.SrClass(what.options.sr_class),
            lungs=what.options.lungs,
            ohif_hydration=what.options.ohif_hydration,
            station=what.station,
        ),
        predecessor=stored.read_document(what.predecessor) if what.predecessor else None,
    )
    documents = report.compose(request)
    sent = [stored.decoded(stored.encoded(document)) for document in documents]  # what leaves, not what was meant
    volume_hu = None if volume is None else volume.volume_hu
    problems = check.check(source, sent, volume_hu=volume_hu, frame_numbers=frames)
    if problems:
        raise ResultInvalid(f"the own check refused the result: {', '.join(sorted({p.code for p in problems}))}")
    return documents


def _composition(
    node: Node,
    job: records.Job,
    instances: Sequence[records.Instance],
    before: Sequence[records.StoredResult],
) -> Composition:
    reports = [item.file_key for item in before if item.role == report.DocumentRole.SR]
    result = None if job.findings_key is None else findings.decoded(node.files.path(job.findings_key).read_bytes())
    mine = inputs_of(job, instances)
    return Composition(
        paths=tuple(node.files.path(instance.file_key) for instance in mine),
        result=result,
        reasons=job.reasons,
        identity=identity_of(job, node.config),
        detector=None if result is None else pipeline_of(node.models, job).detector,
        options=node.config.report,
        station=node.config.scp.ae_title,
        composed_at=max(instance.received_at for instance in mine),
        predecessor=node.files.path(reports[0]) if reports else None,
    )


def _kept(node: Node, job: records.Job, document: report.Document) -> records.StoredResult:
    key = node.files.store_result(f"job-{job.id}-{document.role}.dcm", stored.encoded(document))
    return records.StoredResult(
        role=document.role,
        sop_class_uid=document.sop_class_uid,
        sop_instance_uid=InstanceUid(document.sop_instance_uid),
        file_key=key,
    )


def _record_result(node: Node, job: records.Job, holder: str, items: Sequence[records.StoredResult]) -> None:
    now = node.now()
    step = Move(row_id=job.id, state=JobState.COMPOSING, event=JobEvent.FINISH, at=now, holder=holder)
    with node.database.transaction() as tx:
        if not machine.move(tx, JOBS, step, finished_at=now, attempt=0):
            return
        jobs.replace_results(tx, job.id, items, now)
        if job.supersedes_job_id is not None:
            deliveries.supersede(tx, job.supersedes_job_id, now)
        deliveries.create(tx, job.id, job.destinations, now)


def _record_failure(node: Node, job: records.Job, holder: str, error: InferenceError | NodeError) -> None:
    """Try again later; else say why there are no findings; and fail if not even that can be said."""
    wait_s = delay_s(COMPOSE, job.attempt, node.chance()) if error.retryable else None
    now = node.now()
    values: dict[str, object]
    if wait_s is not None:
        event, values = JobEvent.DELAY, {"next_at": now + timedelta(seconds=wait_s)}
    elif job.findings_key is not None:
        event, values = JobEvent.REFUSE, {"reasons": [[error.code, str(error)]], "findings_key": None, "attempt": 0}
    else:
        event, values = JobEvent.FAIL, {}
    step = Move(
        row_id=job.id, state=JobState.COMPOSING, event=event, at=now, holder=holder, code=error.code, text=str(error)
    )
    with node.database.transaction() as tx:
        if machine.move(tx, JOBS, step, **values) and event is JobEvent.REFUSE:
            jobs.replace_findings(tx, job.id, [])
    log.event("job_not_composed", job_id=job.id, code=error.code, attempt=job.attempt, next_s=wait_s)
