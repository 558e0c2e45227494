"""Compose: the findings of a job, or the reasons why there are none, to SEG and SR, checked before they leave."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import WARNING
from pathlib import Path
from typing import Any

from inference.contract import Contract
from inference.errors import InferenceError
from inference.findings import Result
from pacs_node import log, report
from pacs_node.archive import findings, records
from pacs_node.archive.queries import deliveries, jobs, machine, studies
from pacs_node.archive.queries.machine import FRESH, JOBS, Move
from pacs_node.config import Report
from pacs_node.domain.document import DocumentRole, SrClass
from pacs_node.domain.identifiers import InstanceUid, JobId
from pacs_node.domain.job import FINISHED, JobEvent, JobState
from pacs_node.domain.retry import COMPOSE, check_worth, delay_s
from pacs_node.domain.rule import Reason
from pacs_node.domain.shipment import Part
from pacs_node.domain.step import Step
from pacs_node.errors import NodeError, Quarantined, ResultInvalid, ResultPending, SeriesChanged, StepTimeout
from pacs_node.node import Node
from pacs_node.report import check, stored
from pacs_node.steps.analyse import loaded
from pacs_node.steps.failure import failure_of
from pacs_node.steps.identity import identity_of, input_digest, inputs_of, with_tracking
from pacs_node.steps.lease import kept, new_holder
from pacs_node.steps.pipelines import pipeline_of
from pacs_node.steps.shipping import parts_for
from pacs_node.steps.waiting import PASSING, wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """What a result is composed of.

    Parameters
    ----------
    paths : instances of the analysed (or refused) series, in any order
    result : the findings; None if the series was not analysed because of `reasons`
    detector : says what series it may be used on; None without findings
    composed_at : the same for every run of the same job
    predecessor : files of the result that this one supersedes
    tracking_uids : of the findings; empty to derive them from the identity
    """

    paths: tuple[Path, ...]
    result: Result | None
    reasons: tuple[Reason, ...]
    identity: report.ResultIdentity
    detector: Contract | None
    options: Report
    station: str
    composed_at: datetime
    predecessor: tuple[Path, ...] = ()
    tracking_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """What the index says about a job that is to be composed."""

    job: records.Job
    instances: tuple[records.Instance, ...]
    tracking_uids: tuple[str, ...]
    before: records.Job | None
    superseded: tuple[records.StoredResult, ...]


def compose_result(node: Node, job_id: JobId) -> bool:
    """Compose an analysed job and make its deliveries due; False if it is not analysed (any more)."""
    holder, now = new_holder(), node.now()
    until = now + timedelta(seconds=node.config.work.lease_s)
    with node.database.transaction() as tx:
        if not jobs.claim(tx, job_id, JobEvent.COMPOSE, now, holder, until):
            return False
        inputs = _inputs(tx, job_id)
        parts = parts_for(tx, node.config, inputs.job.destinations)
    job, started = inputs.job, time.monotonic()
    try:
        check_worth(COMPOSE, job.attempt, job.strikes)
        with kept(node, Step.COMPOSE, JOBS, job_id, holder, lambda error: _record_failure(node, job, holder, error)):
            what = _composition(node, inputs)
            documents = composed(what, parts)
            kept_files = [_kept(node, job, document) for document in documents]
    except Exception as error:  # noqa: BLE001 - the border of the step, see `steps.failure`
        failure = failure_of(error)
        if not (isinstance(failure, PASSING) and wait(node, job, JobState.COMPOSING, holder, failure)):
            _record_failure(node, job, holder, failure)
        return True
    _record_result(node, job, holder, kept_files, parts)
    log.event("job_composed", job_id=job_id, instances=len(documents), duration_s=time.monotonic() - started)
    _warn_of_frames(job_id, documents)
    return True


def complete_result(node: Node, job_id: JobId, parts: Collection[Part]) -> tuple[records.StoredResult, ...]:
    """The stored instances of a finished job, with these parts among them: what is missing is composed now.

    So a destination that turns out to take less than was thought gets what takes its place.

    Raises
    ------
    ResultPending : the job runs again, so nothing can be added to what it found before
    InferenceError, NodeError : see `composed`
    """
    with node.database.transaction() as tx:
        inputs = _inputs(tx, job_id)
        held = jobs.results(tx, job_id)
    job, wanted = inputs.job, {*inputs.job.composed, *parts}
    if wanted == set(job.composed):
        return held
    if job.state not in FINISHED:
        raise ResultPending
    items = [_kept(node, job, document) for document in composed(_composition(node, inputs), wanted)]
    with node.database.transaction() as tx:
        now = jobs.get(tx, job_id, is_locking=True)
        if (now.state, now.finished_at) != (job.state, job.finished_at):
            raise ResultPending
        if not set(held) <= set(items):  # the software or its settings are others by now: another result, for everybody
            jobs.replace_results(tx, job_id, (), node.now())
            deliveries.create(tx, job_id, job.destinations, node.now())
        jobs.add_results(tx, now, items, wanted, node.now())
        return jobs.results(tx, job_id)


def _warn_of_frames(job_id: JobId, documents: Sequence[report.Document]) -> None:
    """Say which SEGs a viewer may switch off, each counted by itself; nothing is left out to save frames."""
    for document in documents:
        if document.frames >= report.MANY_FRAMES:
            log.event("segmentation_large", level=WARNING, job_id=job_id, document=document.role, count=document.frames)


def composed(what: Composition, parts: Collection[Part]) -> tuple[report.Document, ...]:
    """The documents of a result, after they have passed the own check; the report once for each class of it.

    Raises
    ------
    ResultInvalid : the check found something
    InstanceUnreadable : no instance of the series can be read
    """
    request = _request(what)
    roles = frozenset(part.role for part in parts)
    kinds = {part.sr_class for part in parts} - {None} or {SrClass(what.options.sr_class)}
    documents: list[report.Document] = []
    for number, kind in enumerate(SrClass, start=1):
        if kind in kinds:
            wanted = frozenset() if documents else roles
            made = [_numbered(document, number) for document in _checked(_with(request, kind, wanted))]
            documents += [document for document in made if not documents or document.role is DocumentRole.SR]
    return tuple(documents)


def _numbered(document: report.Document, number: int) -> report.Document:
    """A report by its class, so that each has a file of its own."""
    return dataclasses.replace(document, number=number) if document.role is DocumentRole.SR else document


def _with(request: report.ReportRequest, kind: SrClass, roles: frozenset[DocumentRole]) -> report.ReportRequest:
    options = dataclasses.replace(request.options, sr_class=kind, objects=roles)
    return dataclasses.replace(request, options=options)


def _request(what: Composition) -> report.ReportRequest:
    slices, volume = ((), None) if what.detector is None else loaded(what.paths, what.detector)
    source, frames = stored.read_source(slices) if slices else (stored.read_headers(what.paths), ())
    return report.ReportRequest(
        source=source,
        frame_numbers=frames,
        volume=volume,
        result=what.result,
        reasons=what.reasons,
        identity=what.identity,
        composed_at=what.composed_at,
        options=report.ReportOptions(ohif_hydration=what.options.ohif_hydration, station=what.station),
        predecessor=stored.read_headers(what.predecessor),
        tracking_uids=what.tracking_uids,
    )


def _checked(request: report.ReportRequest) -> tuple[report.Document, ...]:
    documents = report.compose(request)
    sent = [stored.decoded(document.content) for document in documents]  # what leaves, not what was meant
    volume_hu = None if request.volume is None else request.volume.volume_hu
    problems = check.check(request.source, sent, volume_hu=volume_hu, frame_numbers=request.frame_numbers)
    if problems:
        raise ResultInvalid(f"the own check refused the result: {', '.join(sorted({p.code for p in problems}))}")
    return documents


def _inputs(tx: Any, job_id: JobId) -> _Inputs:
    job = jobs.get(tx, job_id)
    earlier = job.supersedes_job_id
    return _Inputs(
        job=job,
        instances=studies.instances(tx, job.study_id),
        tracking_uids=tuple(nodule.tracking_uid for nodule in jobs.findings(tx, job_id)),
        before=None if earlier is None else jobs.get(tx, earlier),
        superseded=() if earlier is None else _on_disk(jobs.results(tx, earlier)),
    )


def _on_disk(items: Sequence[records.StoredResult]) -> tuple[records.StoredResult, ...]:
    """Those that retention has not deleted; what is not here cannot be referred to."""
    return tuple(item for item in items if item.deleted_at is None)


def _composition(node: Node, inputs: _Inputs) -> Composition:
    job = inputs.job
    result = None if job.findings_key is None else findings.decoded(node.files.path(job.findings_key).read_bytes())
    mine = inputs_of(job, inputs.instances)
    if job.input_digest not in (input_digest(mine, ()), input_digest(mine, job.reasons)):
        raise SeriesChanged  # the same UIDs must never come with other bytes
    return Composition(
        paths=tuple(node.files.path(instance.file_key) for instance in mine),
        result=result,
        reasons=job.reasons,
        identity=with_tracking(identity_of(job, node.config, inputs.before), inputs.tracking_uids),
        detector=None if result is None else pipeline_of(node.models, job).detector,
        options=node.config.report,
        station=node.config.scp.ae_title,
        composed_at=job.inputs_received_at or max(instance.received_at for instance in mine),
        predecessor=tuple(node.files.path(item.file_key) for item in inputs.superseded),
        tracking_uids=inputs.tracking_uids,
    )


def _kept(node: Node, job: records.Job, document: report.Document) -> records.StoredResult:
    name = hashlib.sha256(document.sop_instance_uid.encode()).hexdigest()[:16]  # another instance, another file
    key = node.files.store_result(f"job-{job.id}-{document.role}-{name}.dcm", document.content)
    return records.StoredResult(
        role=document.role,
        sop_class_uid=document.sop_class_uid,
        sop_instance_uid=InstanceUid(document.sop_instance_uid),
        file_key=key,
    )


def _record_result(
    node: Node, job: records.Job, holder: str, items: Sequence[records.StoredResult], parts: Sequence[Part]
) -> None:
    now = node.now()
    is_set_aside = Quarantined.code in {reason.code for reason in job.reasons}
    event = JobEvent.SET_ASIDE if is_set_aside else JobEvent.FINISH
    step = Move(row_id=job.id, state=JobState.COMPOSING, event=event, at=now, holder=holder)
    with node.database.transaction() as tx:
        if not machine.move(tx, JOBS, step, **FRESH, finished_at=now, composed=jobs.pairs_of(parts)):
            return
        jobs.replace_results(tx, job.id, items, now)
        if job.supersedes_job_id is not None:
            deliveries.supersede(tx, job.supersedes_job_id, now)
        deliveries.create(tx, job.id, job.destinations, now)


def _record_failure(node: Node, job: records.Job, holder: str, error: InferenceError | NodeError) -> None:
    """Try again later; else say why there are no findings; and fail if not even that can be said."""
    strikes = job.strikes + isinstance(error, StepTimeout)
    wait_s = delay_s(COMPOSE, job.attempt, node.chance(), strikes) if error.retryable else None
    now = node.now()
    values: dict[str, object]
    if wait_s is not None:
        event, values = JobEvent.DELAY, {"next_at": now + timedelta(seconds=wait_s), "strikes": strikes}
    elif job.findings_key is not None:
        event, values = JobEvent.REFUSE, {"reasons": [[error.code, str(error)]], "findings_key": None, **FRESH}
    else:
        event, values = JobEvent.SET_ASIDE if isinstance(error, Quarantined) else JobEvent.FAIL, {}
    step = Move(
        row_id=job.id, state=JobState.COMPOSING, event=event, at=now, holder=holder, code=error.code, text=str(error)
    )
    with node.database.transaction() as tx:
        if machine.move(tx, JOBS, step, **values) and event is JobEvent.REFUSE:
            jobs.replace_findings(tx, job.id, [])
    log.event("job_not_composed", job_id=job.id, code=error.code, attempt=job.attempt, next_s=wait_s)
