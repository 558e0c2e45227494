"""What the PACS holds of a study, and whose turn it is to ask."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from pacs_node.archive import tables
from pacs_node.archive.queries import studies
from pacs_node.archive.queries.machine import STUDIES, Move, move
from pacs_node.domain.identifiers import SeriesUid, StudyId
from pacs_node.domain.study import StudyEvent, StudyState


def senders(tx: sa.Connection, study_id: StudyId) -> tuple[str, ...]:
    """The calling AE titles that a study came from."""
    instance, series = tables.instance, tables.series
    query = sa.select(instance.c.calling_ae_title).join(series).where(series.c.study_id == study_id).distinct()
    return tuple(sorted(tx.scalars(query)))


def claim(tx: sa.Connection, study_id: StudyId, at: datetime, holder: str, until: datetime) -> bool:
    """Take a quiet study under a lease in order to compare it; False if its turn has not come, or is over."""
    study = studies.get(tx, study_id)
    if study.state is not StudyState.UNCHECKED or (study.next_at is not None and study.next_at > at):
        return False
    step = Move(row_id=study_id, state=study.state, event=StudyEvent.CHECK, at=at)
    return move(tx, STUDIES, step, lease_holder=holder, lease_until=until, checks=study.checks + 1)


def hasten(tx: sa.Connection, study_id: StudyId, at: datetime) -> None:
    """Let a study that waits to be compared be so at this time, if it would be later."""
    table = tables.study
    waits = sa.and_(table.c.id == study_id, table.c.state == StudyState.UNCHECKED, table.c.next_at > at)
    tx.execute(sa.update(table).where(waits).values(next_at=at))


def expect(tx: sa.Connection, study_id: StudyId, counts: Mapping[SeriesUid, int], at: datetime) -> None:
    """Record how many instances of which series the PACS holds, in place of what was recorded before."""
    table = tables.expectation
    tx.execute(sa.delete(table).where(table.c.study_id == study_id))
    rows = [
        {"study_id": study_id, "series_instance_uid": uid, "instance_count": count, "counted_at": at}
        for uid, count in counts.items()
    ]
    if rows:
        tx.execute(sa.insert(table), rows)


def expected(tx: sa.Connection, study_id: StudyId) -> dict[SeriesUid, int]:
    """How many instances of which series the PACS holds, as far as it was asked."""
    table = tables.expectation
    rows = tx.execute(
        sa.select(table.c.series_instance_uid, table.c.instance_count).where(table.c.study_id == study_id)
    )
    return {SeriesUid(uid): count for uid, count in rows}
