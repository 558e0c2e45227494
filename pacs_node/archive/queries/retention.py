"""What is held of studies, and letting go of it. Files are the business of `steps.retain`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pacs_node.archive import tables
from pacs_node.archive.queries import jobs as job_queries
from pacs_node.archive.queries import removals, studies
from pacs_node.archive.queries.machine import JOBS, STUDIES, Move, move
from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import JobId, StudyId, StudyUid
from pacs_node.domain.job import OPEN, JobEvent, JobState
from pacs_node.domain.retention import JobFacts, StudyFacts
from pacs_node.domain.study import StudyEvent, StudyState


def held(tx: sa.Connection, after: StudyFacts | None, limit: int) -> tuple[StudyFacts, ...]:
    """The next studies of which anything is held; those come first that received something longest ago.

    Parameters
    ----------
    after : the last one of the page before
    """
    table = tables.study
    order = (table.c.last_received_at, table.c.id)
    query = sa.select(table).where(sa.or_(table.c.state != StudyState.DELETED, _has_results())).order_by(*order)
    if after is not None:
        query = query.where(sa.tuple_(*order) > sa.tuple_(sa.literal(after.received_at, tables.Utc), after.id))
    return _facts(tx, tx.execute(query.limit(limit)).mappings().all())


def of_study(tx: sa.Connection, study_id: StudyId) -> StudyFacts:
    """What is held of one study; it and its jobs stay as they are until the transaction ends."""
    study, job = tables.study, tables.job
    rows = tx.execute(sa.select(study).where(study.c.id == study_id).with_for_update()).mappings().all()
    tx.execute(sa.select(job.c.id).where(job.c.study_id == study_id).order_by(job.c.id).with_for_update())
    (facts,) = _facts(tx, rows)
    return facts


def let_instances_go(tx: sa.Connection, study: StudyFacts, at: datetime, code: str, text: str) -> bool:
    """Let go of the instances of a planned study, for good; False if it is not planned (any more)."""
    step = Move(row_id=study.id, state=study.state, event=StudyEvent.DELETE, at=at, code=code, text=text)
    if study.state is not StudyState.PLANNED or not move(tx, STUDIES, step):
        return False
    _remember_inputs(tx, study.id)
    _count_deleted(tx, study.id)
    removals.add(tx, sa.select(tables.series.c.id).where(tables.series.c.study_id == study.id))
    return True


def let_results_go(tx: sa.Connection, study: StudyFacts, at: datetime, code: str, text: str) -> None:
    """Let go of the results of a study, for good; which there were stays known."""
    job, result = tables.job, tables.result
    for mine in study.jobs:
        is_mine = result.c.job_id == mine.id
        gone = tx.execute(sa.update(result).where(is_mine, result.c.deleted_at.is_(None)).values(deleted_at=at))
        here = sa.and_(job.c.id == mine.id, job.c.findings_key.is_not(None))
        found = tx.execute(sa.update(job).where(here).values(findings_key=None))
        if gone.rowcount or found.rowcount:
            move(tx, JOBS, Move(row_id=mine.id, state=mine.state, event=JobEvent.DELETE, at=at, code=code, text=text))


def result_keys(tx: sa.Connection) -> frozenset[str]:
    """The files of all results and findings that are held."""
    job, result = tables.job, tables.result
    files = frozenset(tx.scalars(sa.select(result.c.file_key).where(result.c.deleted_at.is_(None))))
    return files | frozenset(tx.scalars(sa.select(job.c.findings_key).where(job.c.findings_key.is_not(None))))


def loose(tx: sa.Connection, job_id: JobId, keys: Collection[str]) -> tuple[str, ...]:
    """Which of these files of a job nobody refers to, nor will before the transaction ends.

    None while the job is open or being sent: whoever works on it writes files before the index hears of them.
    """
    job, delivery = tables.job, tables.delivery
    state = tx.scalar(sa.select(job.c.state).where(job.c.id == job_id).with_for_update())
    moving = (DeliveryState.PENDING, DeliveryState.SENDING)
    is_moving = sa.exists().where(delivery.c.job_id == job_id, delivery.c.state.in_(moving))
    if state is None or state in OPEN or tx.scalar(sa.select(is_moving)):
        return ()
    held_keys = {item.file_key for item in job_queries.results(tx, job_id) if item.deleted_at is None}
    held_keys.add(job_queries.get(tx, job_id).findings_key or "")
    return tuple(sorted(set(keys) - held_keys))


def _has_results() -> sa.ColumnElement[bool]:
    job, result = tables.job, tables.result
    files = sa.exists().where(result.c.job_id == job.c.id, result.c.deleted_at.is_(None))
    mine = job.c.study_id == tables.study.c.id
    return sa.exists().where(mine, sa.or_(job.c.findings_key.is_not(None), files))


def _remember_inputs(tx: sa.Connection, study_id: StudyId) -> None:
    """Note in each job when the last of its instances had arrived: another run must write the same result."""
    instances = studies.instances(tx, study_id)
    for job in job_queries.of_study(tx, study_id):
        mine = [i for i in instances if i.series_instance_uid == job.series_instance_uid]
        times = [i.received_at for i in mine if i.received_at <= job.created_at]
        if times and job.inputs_received_at is None:
            table = tables.job
            tx.execute(sa.update(table).where(table.c.id == job.id).values(inputs_received_at=max(times)))


def _count_deleted(tx: sa.Connection, study_id: StudyId) -> None:
    """Note in each series how many instances it had, if it was whole."""
    series, instance = tables.series, tables.instance
    count = sa.select(sa.func.count()).where(instance.c.series_id == series.c.id).scalar_subquery()
    more = sa.and_(series.c.study_id == study_id, series.c.deleted_count < count)
    tx.execute(sa.update(series).where(more).values(deleted_count=count))


def _facts(tx: sa.Connection, rows: Sequence[sa.RowMapping]) -> tuple[StudyFacts, ...]:
    ids = [row["id"] for row in rows]
    counts, jobs, keys = _instances(tx, ids), _jobs(tx, ids), _keys(tx, ids)
    return tuple(
        StudyFacts(
            id=StudyId(row["id"]),
            study_instance_uid=StudyUid(row["study_instance_uid"]),
            state=StudyState(row["state"]),
            received_at=row["last_received_at"],
            instance_count=counts[row["id"]][0],
            instance_bytes=counts[row["id"]][1],
            promised_at=counts[row["id"]][2],
            jobs=tuple(jobs[row["id"]]),
            result_keys=tuple(keys[row["id"]]),
        )
        for row in rows
    )


def _instances(tx: sa.Connection, ids: Sequence[int]) -> dict[int, tuple[int, int, datetime | None]]:
    series, instance = tables.series, tables.instance
    values = (sa.func.count(), sa.func.sum(instance.c.size_bytes), sa.func.max(instance.c.committed_at))
    query = sa.select(series.c.study_id, *values).join(instance, instance.c.series_id == series.c.id)
    rows = tx.execute(query.where(series.c.study_id.in_(ids)).group_by(series.c.study_id))
    return defaultdict(lambda: (0, 0, None), {i: (count, int(size), at) for i, count, size, at in rows})


def _jobs(tx: sa.Connection, ids: Sequence[int]) -> dict[int, list[JobFacts]]:
    job, delivery = tables.job, tables.delivery
    mine = tx.execute(sa.select(job).where(job.c.study_id.in_(ids)).order_by(job.c.id)).mappings().all()
    sent: dict[int, dict[str, DeliveryState]] = defaultdict(dict)
    query = sa.select(delivery.c.job_id, delivery.c.destination, delivery.c.state)
    for job_id, name, state in tx.execute(query.where(delivery.c.job_id.in_([row["id"] for row in mine]))):
        sent[job_id][name] = DeliveryState(state)
    found: dict[int, list[JobFacts]] = defaultdict(list)
    for row in mine:
        found[row["study_id"]].append(_job(row, sent[row["id"]]))
    return found


def _job(row: Any, deliveries: dict[str, DeliveryState]) -> JobFacts:
    return JobFacts(
        id=JobId(row["id"]),
        rule=row["rule"],
        state=JobState(row["state"]),
        finished_at=row["finished_at"],
        destinations=tuple(row["destinations"]),
        deliveries=deliveries,
    )


def _keys(tx: sa.Connection, ids: Sequence[int]) -> dict[int, list[str]]:
    job, result = tables.job, tables.result
    found: dict[int, list[str]] = defaultdict(list)
    files = sa.select(job.c.study_id, result.c.file_key).join(result, result.c.job_id == job.c.id)
    files = files.where(job.c.study_id.in_(ids), result.c.deleted_at.is_(None))
    findings = sa.select(job.c.study_id, job.c.findings_key)
    findings = findings.where(job.c.study_id.in_(ids), job.c.findings_key.is_not(None))
    for study_id, key in [*tx.execute(files), *tx.execute(findings)]:
        found[study_id].append(key)
    return found
