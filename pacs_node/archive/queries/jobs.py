"""Jobs, their findings and their results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa

from inference.findings import ModelUse
from pacs_node.archive import records, tables
from pacs_node.archive.queries import urgency
from pacs_node.archive.queries.machine import FRESH, JOBS, Move, move
from pacs_node.domain.document import DocumentRole
from pacs_node.domain.identifiers import InstanceUid, JobId, SeriesUid, StudyId, StudyUid
from pacs_node.domain.job import FINISHED, OPEN, JobEvent, JobState
from pacs_node.domain.rule import Reason
from pacs_node.domain.shipment import Part
from pacs_node.errors import NotFound

WAITING = (JobState.QUEUED, JobState.ANALYSED)
"""States in which a job waits for a worker."""


def create(tx: sa.Connection, new: records.NewJob, at: datetime) -> JobId | None:
    """Create a job that supersedes the open and names the last finished one of its study and rule.

    Returns
    -------
    None if the very same job exists already and was not superseded
    """
    table = tables.job
    same_rule = sa.and_(table.c.study_id == new.study_id, table.c.rule == new.rule)
    before = tx.execute(sa.select(table).where(same_rule).order_by(table.c.id).with_for_update()).mappings().all()
    key = (new.input_digest, new.model_digest)
    same = [row for row in before if (row["input_digest"], row["model_digest"]) == key]
    others = [row for row in before if row not in same]
    for row in others:
        if row["state"] in OPEN:
            state = JobState(row["state"])
            move(tx, JOBS, Move(row_id=row["id"], state=state, event=JobEvent.SUPERSEDE, at=at))
    finished = [row["id"] for row in others if row["finished_at"] is not None]
    last = finished[-1] if finished else None
    return _revived(tx, same[0], at, last) if same else JobId(_inserted(tx, new, at, last))


def _revived(tx: sa.Connection, row: sa.RowMapping, at: datetime, supersedes: int | None) -> JobId | None:
    """Let a job that was superseded wait again, because the study is once more what it was planned on.

    If its instances were deleted, those that have come again since take their place.
    """
    if row["inputs_received_at"] is not None:
        tx.execute(sa.update(tables.job).where(tables.job.c.id == row["id"]).values(created_at=at))
    if row["state"] != JobState.SUPERSEDED:
        tx.execute(sa.update(tables.job).where(tables.job.c.id == row["id"]).values(rung_at=None))  # it was held back
        return None
    event = JobEvent.REFUSE if row["reasons"] else JobEvent.RETRY
    step = Move(row_id=row["id"], state=JobState.SUPERSEDED, event=event, at=at)
    move(tx, JOBS, step, **FRESH, supersedes_job_id=supersedes)
    return JobId(row["id"])


def _inserted(tx: sa.Connection, new: records.NewJob, at: datetime, supersedes: int | None) -> int:
    state = JobState.ANALYSED if new.reasons else JobState.QUEUED
    row = {
        "study_id": new.study_id,
        "series_instance_uid": new.series_instance_uid,
        "rule": new.rule,
        "pipeline": new.pipeline,
        "input_digest": new.input_digest,
        "models": [asdict(model) for model in new.models],
        "model_digest": new.model_digest,
        "destinations": list(new.destinations),
        "reasons": _pairs(new.reasons),
        "is_stat": new.is_stat,
        "state": state,
        "supersedes_job_id": supersedes,
        "created_at": at,
    }
    job_id = tx.execute(sa.insert(tables.job).values(row)).inserted_primary_key
    assert job_id is not None
    tx.execute(sa.insert(tables.job_event).values(job_id=job_id[0], at=at, event="create", state=state))
    return int(job_id[0])


def claim(tx: sa.Connection, job_id: JobId, event: JobEvent, at: datetime, holder: str, until: datetime) -> bool:
    """Take a waiting job under a lease; False if it waits no more, is held back, or its time has not come."""
    job = get(tx, job_id)
    expected = {JobEvent.START: JobState.QUEUED, JobEvent.COMPOSE: JobState.ANALYSED}[event]
    if job.state is not expected or (job.next_at is not None and job.next_at > at):
        return False
    if tx.scalar(sa.select(urgency.is_held_back()).where(tables.job.c.id == job_id)):
        return False
    step = Move(row_id=job_id, state=job.state, event=event, at=at)
    is_mine = move(tx, JOBS, step, attempt=job.attempt + 1, lease_holder=holder, lease_until=until)
    if is_mine and event is JobEvent.START:
        urgency.serve(tx, job.study_id, at)
    return is_mine


def get(tx: sa.Connection, job_id: JobId, *, is_locking: bool = False) -> records.Job:
    """One job, kept for this transaction alone if locked; raises NotFound."""
    query = _jobs().where(tables.job.c.id == job_id)
    row = tx.execute(query.with_for_update(of=tables.job) if is_locking else query).mappings().one_or_none()
    if row is None:
        raise NotFound("there is no such job; `pulmonode job list` shows what there is")
    return _job(row)


def of_study(tx: sa.Connection, study_id: StudyId) -> tuple[records.Job, ...]:
    """The jobs of a study, oldest first."""
    query = _jobs().where(tables.job.c.study_id == study_id).order_by(tables.job.c.id)
    return tuple(_job(row) for row in tx.execute(query).mappings())


def series_by_rule(tx: sa.Connection, study_id: StudyId) -> dict[str, tuple[SeriesUid, ...]]:
    """The series of the jobs of a study, by name of the rule."""
    found: dict[str, tuple[SeriesUid, ...]] = {}
    for job in of_study(tx, study_id):
        found[job.rule] = (*found.get(job.rule, ()), job.series_instance_uid)
    return found


def listed(tx: sa.Connection, limit: int, state: str | None = None) -> tuple[records.Job, ...]:
    """The newest jobs, in one state or in all."""
    query = _jobs().order_by(tables.job.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(tables.job.c.state == state)
    return tuple(_job(row) for row in tx.execute(query).mappings())


def replace_findings(tx: sa.Connection, job_id: JobId, nodules: Sequence[records.FoundNodule]) -> None:
    """Record the findings of a job in place of those of an earlier run."""
    tx.execute(sa.delete(tables.finding).where(tables.finding.c.job_id == job_id))
    rows = []
    for nodule in nodules:
        row = asdict(nodule)
        x, y, z = row.pop("centre_lps")
        rows.append(row | {"job_id": job_id, "centre_x_mm": x, "centre_y_mm": y, "centre_z_mm": z})
    if rows:
        tx.execute(sa.insert(tables.finding), rows)


def findings(tx: sa.Connection, job_id: JobId) -> tuple[records.FoundNodule, ...]:
    """The findings of a job, by number."""
    table = tables.finding
    rows = tx.execute(sa.select(table).where(table.c.job_id == job_id).order_by(table.c.number)).mappings()
    same = [name for name in records.FoundNodule.__dataclass_fields__ if name != "centre_lps"]
    return tuple(
        records.FoundNodule(
            centre_lps=(row["centre_x_mm"], row["centre_y_mm"], row["centre_z_mm"]),
            **{name: row[name] for name in same},
        )
        for row in rows
    )


def replace_results(tx: sa.Connection, job_id: JobId, stored: Sequence[records.StoredResult], at: datetime) -> None:
    """Record the instances of a job's result in place of those of an earlier run."""
    tx.execute(sa.delete(tables.result).where(tables.result.c.job_id == job_id))
    rows = [{"job_id": job_id, "composed_at": at, **asdict(item)} for item in stored]
    if rows:
        tx.execute(sa.insert(tables.result), rows)


def add_results(
    tx: sa.Connection, job: records.Job, stored: Sequence[records.StoredResult], parts: Iterable[Part], at: datetime
) -> None:
    """Record more instances of a (locked) job's result beside those that are there; the same ones change nothing.

    Parameters
    ----------
    parts : all that the result consists of now
    """
    held = {item.sop_instance_uid for item in results(tx, job.id)}
    rows = [{"job_id": job.id, "composed_at": at, **asdict(i)} for i in stored if i.sop_instance_uid not in held]
    if rows:
        tx.execute(sa.insert(tables.result), rows)
    values = pairs_of({*job.composed, *parts})
    tx.execute(sa.update(tables.job).where(tables.job.c.id == job.id).values(composed=values))


def pairs_of(parts: Iterable[Part]) -> list[list[str]]:
    """The parts of a result as the column `composed` keeps them."""
    return [[part.role, part.sop_class_uid] for part in sorted(parts)]


def results(tx: sa.Connection, job_id: JobId) -> tuple[records.StoredResult, ...]:
    """The instances of a job's result, SEG before SR."""
    table = tables.result
    rows = tx.execute(sa.select(table).where(table.c.job_id == job_id).order_by(table.c.id)).mappings()
    return tuple(
        records.StoredResult(
            role=row["role"],
            sop_class_uid=row["sop_class_uid"],
            sop_instance_uid=InstanceUid(row["sop_instance_uid"]),
            file_key=row["file_key"],
            deleted_at=row["deleted_at"],
        )
        for row in rows
    )


def count_results(tx: sa.Connection) -> int:
    """The number of jobs that have ended with a result."""
    finished = sa.and_(tables.job.c.state.in_(FINISHED), tables.job.c.finished_at.is_not(None))
    return tx.scalar(sa.select(sa.func.count()).select_from(tables.job).where(finished)) or 0


def _pairs(reasons: Sequence[Reason]) -> list[list[str]]:
    return [[reason.code, reason.text] for reason in reasons]


def _jobs() -> sa.Select[tuple[object, ...]]:
    return sa.select(*tables.job.c, tables.study.c.study_instance_uid).join(tables.study)


def _job(row: sa.RowMapping) -> records.Job:
    supersedes = row["supersedes_job_id"]
    return records.Job(
        id=JobId(row["id"]),
        study_id=StudyId(row["study_id"]),
        study_instance_uid=StudyUid(row["study_instance_uid"]),
        series_instance_uid=SeriesUid(row["series_instance_uid"]),
        rule=row["rule"],
        pipeline=row["pipeline"],
        input_digest=row["input_digest"],
        models=tuple(ModelUse(**model) for model in row["models"]),
        destinations=tuple(row["destinations"]),
        reasons=tuple(Reason(code=code, text=text) for code, text in row["reasons"]),
        is_stat=row["is_stat"],
        state=JobState(row["state"]),
        attempt=row["attempt"],
        strikes=row["strikes"],
        next_at=row["next_at"],
        findings_key=row["findings_key"],
        composed=tuple(Part(role=DocumentRole(role), sop_class_uid=uid) for role, uid in row["composed"] or ()),
        supersedes_job_id=None if supersedes is None else JobId(supersedes),
        inputs_received_at=row["inputs_received_at"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )
