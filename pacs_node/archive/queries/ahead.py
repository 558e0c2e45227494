"""Studies that may be analysed before they settle, and whether anybody waits for something else."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from pacs_node.archive import records, tables
from pacs_node.domain.identifiers import StudyId
from pacs_node.domain.job import OPEN, JobState
from pacs_node.domain.study import StudyState

_WANTED = (StudyState.SETTLED, StudyState.PLANNING)
"""States of a study that analyses follow at once."""


def ring_due(tx: sa.Connection, now: datetime, quiet_since: datetime, again_before: datetime) -> tuple[StudyId, ...]:
    """The study to begin with ahead, if any, and if nobody waits for anything; it is marked as rung for.

    Parameters
    ----------
    quiet_since : nothing of it came after this
    again_before : whoever was rung for since then, and has got nothing new, is not rung for again
    """
    table = tables.study
    rung = table.c.rung_at
    is_new = sa.or_(rung.is_(None), rung <= table.c.last_received_at, rung < again_before)
    query = sa.select(table.c.id).where(_is_open(now), table.c.last_received_at <= quiet_since, is_new)
    study_id = tx.scalar(query.order_by(table.c.settle_at).limit(1).with_for_update(skip_locked=True))
    if study_id is None or is_anything_else_wanted(tx, study_id):
        return ()
    tx.execute(sa.update(table).where(table.c.id == study_id).values(rung_at=now))
    return (StudyId(study_id),)


def claim(tx: sa.Connection, study_id: StudyId, now: datetime) -> bool:
    """Begin with a study ahead: once for what it is now, whatever comes of it. False if that is not to be."""
    table = tables.study
    here = sa.and_(table.c.id == study_id, _is_open(now))
    return tx.execute(sa.update(table).where(here).values(anticipated_at=table.c.last_received_at)).rowcount == 1


def is_same(tx: sa.Connection, study_id: StudyId) -> bool:
    """Whether a study has got nothing since it was begun with."""
    table = tables.study
    return bool(tx.scalar(sa.select(table.c.anticipated_at == table.c.last_received_at).where(table.c.id == study_id)))


def is_anything_else_wanted(tx: sa.Connection, study_id: int) -> bool:
    """Whether a study other than this waits for a worker, or has one."""
    study, job = tables.study, tables.job
    studies = sa.select(study.c.id).where(study.c.state.in_(_WANTED), study.c.id != study_id)
    jobs = sa.select(job.c.id).where(job.c.state.in_(OPEN), job.c.study_id != study_id)
    return bool(tx.scalar(sa.select(sa.or_(sa.exists(studies), sa.exists(jobs)))))


def is_known(tx: sa.Connection, new: records.NewJob) -> bool:
    """Whether there is such a job already, so that a plan would make none."""
    job = tables.job
    same = (job.c.study_id == new.study_id, job.c.rule == new.rule, job.c.state != JobState.SUPERSEDED)
    digests = (job.c.input_digest == new.input_digest, job.c.model_digest == new.model_digest)
    return bool(tx.scalar(sa.select(sa.exists().where(*same, *digests))))


def _is_open(now: datetime) -> sa.ColumnElement[bool]:
    """Whether a study may still get instances, and was not begun with as it is now."""
    table = tables.study
    is_due = sa.or_(table.c.anticipated_at.is_(None), table.c.anticipated_at != table.c.last_received_at)
    return sa.and_(table.c.state == StudyState.RECEIVING, table.c.settle_at > now, is_due)
