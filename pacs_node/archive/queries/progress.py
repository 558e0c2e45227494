"""How far a study has come, in numbers."""

from __future__ import annotations

import sqlalchemy as sa

from pacs_node.archive import records, tables
from pacs_node.archive.queries import completeness
from pacs_node.domain.delivery import ACCEPTED, DeliveryState
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.job import FINISHED, JobState


def of_study(tx: sa.Connection, study_id: StudyId) -> records.Progress:
    """Received, expected, analysed, delivered, committed; what was superseded does not count."""
    job, delivery, instance, series = tables.job, tables.delivery, tables.instance, tables.series
    of_job = sa.and_(job.c.study_id == study_id, job.c.state != JobState.SUPERSEDED)
    jobs = _counts(tx, sa.select(job.c.state).where(of_job))
    of_delivery = sa.and_(job.c.study_id == study_id, delivery.c.state != DeliveryState.SUPERSEDED)
    deliveries = _counts(tx, sa.select(delivery.c.state).join(job).where(of_delivery))
    foreign = sa.and_(series.c.study_id == study_id, instance.c.is_own_result.is_(False))
    held = _counts(tx, sa.select(series.c.series_instance_uid).join(instance).where(foreign))
    promised = (
        sa.select(sa.func.count())
        .select_from(instance.join(series))
        .where(foreign, instance.c.committed_at.is_not(None))
    )
    expected = completeness.expected(tx, study_id)
    return records.Progress(
        received=sum(held.values()),
        promised=tx.scalar(promised) or 0,
        expected=sum(expected.values()) if expected else None,
        missing=sum(max(count - held.get(uid, 0), 0) for uid, count in expected.items()) if expected else None,
        jobs=sum(jobs.values()),
        analysed=sum(jobs.get(state, 0) for state in FINISHED),
        deliveries=sum(deliveries.values()),
        delivered=sum(deliveries.get(state, 0) for state in ACCEPTED),
        committed=deliveries.get(DeliveryState.COMMITTED, 0),
    )


def _counts(tx: sa.Connection, query: sa.Select[tuple[str]]) -> dict[str, int]:
    """How often each value comes."""
    rows = query.subquery()
    value = rows.c[0]
    return {row[0]: row[1] for row in tx.execute(sa.select(value, sa.func.count()).group_by(value))}
