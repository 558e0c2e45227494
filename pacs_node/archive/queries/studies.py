"""Studies, series, instances and decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from pacs_node.archive import records, tables
from pacs_node.archive.queries import removals
from pacs_node.archive.queries.inserting import insert_missing
from pacs_node.archive.queries.machine import FRESH, STUDIES, Move, move, record
from pacs_node.domain.identifiers import InstanceUid, SeriesUid, StudyId, StudyUid
from pacs_node.domain.instance import Receipt
from pacs_node.domain.rule import Decision, Reason
from pacs_node.domain.study import StudyEvent, StudyState, settle_at
from pacs_node.errors import NotFound


def record_receipts(tx: sa.Connection, receipts: Sequence[Receipt], quiet_for: Callable[[str], float]) -> int:
    """Index instances that are durable on disk; those already indexed change nothing.

    A new instance (re)opens its study and re-arms its settle time, unless it is a result of this node that came back.
    The order in which receipts are recorded does not matter; the latest counts. Instances that were deleted are not
    new, although their files may not be gone yet.

    Returns
    -------
    the number of instances that were new
    """
    new = unknown(tx, receipts)
    own = _held(tx, tables.result.c.sop_instance_uid, new)
    by_study: dict[StudyUid, list[Receipt]] = {}
    for receipt in new:
        by_study.setdefault(receipt.study_instance_uid, []).append(receipt)
    added = 0
    for uid, group in sorted(by_study.items()):
        study_id = _opened(tx, uid, group, quiet_for, is_reopening=any(r.sop_instance_uid not in own for r in group))
        series_ids = _series_ids(tx, study_id, {r.series_instance_uid for r in group})
        rows = [_instance_row(r, series_ids[r.series_instance_uid], r.sop_instance_uid in own) for r in group]
        added += insert_missing(tx, tables.instance, rows)
    return added


def unknown(tx: sa.Connection, receipts: Sequence[Receipt]) -> tuple[Receipt, ...]:
    """Those of them, once each, that the index neither holds nor has let go of."""
    gone = removals.condemned(tx, receipts)
    receipts = [receipt for receipt in receipts if (receipt.file_key, receipt.received_at) not in gone]
    held = _held(tx, tables.instance.c.sop_instance_uid, receipts)
    return tuple({r.sop_instance_uid: r for r in receipts if r.sop_instance_uid not in held}.values())


def file_keys(tx: sa.Connection) -> frozenset[str]:
    """The files of all indexed instances."""
    return frozenset(tx.scalars(sa.select(tables.instance.c.file_key)))


def quiet_studies(tx: sa.Connection, now: datetime, late_factor: float = 1.0) -> tuple[StudyId, ...]:
    """Studies whose settle time has come.

    Parameters
    ----------
    late_factor : a study that has a result of these instances must be quiet for so many times as long
    """
    table, job = tables.study, tables.job
    due = sa.and_(table.c.state == StudyState.RECEIVING, table.c.settle_at <= now)
    is_answer = sa.and_(job.c.finished_at.is_not(None), job.c.inputs_received_at.is_(None))
    has_answer = sa.exists().where(job.c.study_id == table.c.id, is_answer)
    query = sa.select(table.c.id, table.c.last_received_at, table.c.settle_at, has_answer)
    return tuple(
        StudyId(study_id)
        for study_id, last_at, settled_at, is_late in tx.execute(query.where(due).order_by(table.c.settle_at))
        if not is_late or last_at + late_factor * (settled_at - last_at) <= now
    )


def claim(tx: sa.Connection, study_id: StudyId, at: datetime, holder: str, until: datetime) -> bool:
    """Take a settled study under a lease; False if it is not settled (any more) or its time has not come."""
    study = get(tx, study_id)
    if study.state is not StudyState.SETTLED or (study.next_at is not None and study.next_at > at):
        return False
    step = Move(row_id=study_id, state=study.state, event=StudyEvent.START, at=at)
    return move(tx, STUDIES, step, attempt=study.attempt + 1, lease_holder=holder, lease_until=until)


def get(tx: sa.Connection, study_id: StudyId) -> records.Study:
    """One study; raises NotFound."""
    return _one(tx, tables.study.c.id == study_id)


def find(tx: sa.Connection, uid: StudyUid) -> records.Study:
    """One study by its UID; raises NotFound."""
    return _one(tx, tables.study.c.study_instance_uid == uid)


def listed(tx: sa.Connection, limit: int) -> tuple[records.Study, ...]:
    """The studies that received something last, newest first."""
    query = _studies().order_by(tables.study.c.last_received_at.desc(), tables.study.c.id.desc()).limit(limit)
    return tuple(_study(row) for row in tx.execute(query).mappings())


def instances(tx: sa.Connection, study_id: StudyId) -> tuple[records.Instance, ...]:
    """All instances of a study, by series and UID."""
    series, instance = tables.series, tables.instance
    query = (
        sa.select(series.c.series_instance_uid, instance)
        .join(series, instance.c.series_id == series.c.id)
        .where(series.c.study_id == study_id)
        .order_by(series.c.series_instance_uid, instance.c.sop_instance_uid)
    )
    return tuple(
        records.Instance(
            series_instance_uid=SeriesUid(row["series_instance_uid"]),
            sop_instance_uid=InstanceUid(row["sop_instance_uid"]),
            sop_class_uid=row["sop_class_uid"],
            file_key=row["file_key"],
            content_hash=row["content_hash"],
            calling_ae_title=row["calling_ae_title"],
            received_at=row["received_at"],
            is_own_result=row["is_own_result"],
        )
        for row in tx.execute(query).mappings()
    )


def replace_decisions(tx: sa.Connection, study_id: StudyId, decisions: Sequence[Decision], at: datetime) -> None:
    """Record the decisions of a plan in place of those of the plan before; those about deleted series stay."""
    deleted = deleted_counts(tx, study_id).keys() - {decision.series_instance_uid for decision in decisions}
    table = tables.decision
    tx.execute(sa.delete(table).where(table.c.study_id == study_id, table.c.series_instance_uid.not_in(deleted)))
    rows = [
        {
            "study_id": study_id,
            "series_instance_uid": decision.series_instance_uid,
            "verdict": decision.verdict,
            "rule": decision.rule.name if decision.rule else None,
            "reasons": [[reason.code, reason.text] for reason in decision.reasons],
            "decided_at": at,
        }
        for decision in decisions
    ]
    if rows:
        tx.execute(sa.insert(tables.decision), rows)


def decisions(tx: sa.Connection, study_id: StudyId) -> tuple[records.Decided, ...]:
    """The decisions about the series of a study."""
    table = tables.decision
    rows = tx.execute(sa.select(table).where(table.c.study_id == study_id).order_by(table.c.series_instance_uid))
    return tuple(
        records.Decided(
            series_instance_uid=SeriesUid(row["series_instance_uid"]),
            verdict=row["verdict"],
            rule=row["rule"],
            reasons=tuple(Reason(code=code, text=text) for code, text in row["reasons"]),
            decided_at=row["decided_at"],
        )
        for row in rows.mappings()
    )


def deleted_counts(tx: sa.Connection, study_id: StudyId) -> dict[SeriesUid, int]:
    """How many instances were deleted of each series of a study; series that lost none are left out."""
    table = tables.series
    query = sa.select(table.c.series_instance_uid, table.c.deleted_count)
    rows = tx.execute(query.where(table.c.study_id == study_id, table.c.deleted_count > 0))
    return {SeriesUid(uid): count for uid, count in rows}


def forget_deleted(tx: sa.Connection, study_id: StudyId) -> None:
    """Take what is here of a study for all of it, whatever was deleted."""
    tx.execute(sa.update(tables.series).where(tables.series.c.study_id == study_id).values(deleted_count=0))


def count_instances(tx: sa.Connection) -> int:
    """The number of instances held."""
    return tx.scalar(sa.select(sa.func.count()).select_from(tables.instance)) or 0


def _held(tx: sa.Connection, column: sa.Column[str], receipts: Sequence[Receipt]) -> set[str]:
    wanted = sorted({receipt.sop_instance_uid for receipt in receipts})
    return set(tx.scalars(sa.select(column).where(column.in_(wanted))))


def _opened(
    tx: sa.Connection,
    uid: StudyUid,
    group: Sequence[Receipt],
    quiet_for: Callable[[str], float],
    *,
    is_reopening: bool,
) -> StudyId:
    last = max(group, key=lambda receipt: receipt.received_at)
    due = settle_at(last.received_at, quiet_for(last.calling_ae_title))
    times = {"last_received_at": last.received_at, "settle_at": due, "calling_ae_title": last.calling_ae_title}
    first_at = min(receipt.received_at for receipt in group)
    row = {"study_instance_uid": uid, "state": StudyState.RECEIVING, "first_received_at": first_at, **times}
    is_new = insert_missing(tx, tables.study, [row]) == 1
    study = _one(tx, tables.study.c.study_instance_uid == uid, is_locking=True)
    step = Move(row_id=study.id, state=study.state, event=StudyEvent.INSTANCE, at=last.received_at)
    later = times if last.received_at > study.last_received_at else {}
    if is_new:
        record(tx, STUDIES, step, state=study.state)
    elif is_reopening and study.state is not StudyState.RECEIVING:
        move(tx, STUDIES, step, **FRESH, **later)
    elif is_reopening and later:
        tx.execute(sa.update(tables.study).where(tables.study.c.id == study.id).values(later))
    return study.id


def _series_ids(tx: sa.Connection, study_id: StudyId, uids: Iterable[SeriesUid]) -> dict[str, int]:
    rows = [{"study_id": study_id, "series_instance_uid": uid} for uid in sorted(uids)]
    insert_missing(tx, tables.series, rows)
    table = tables.series
    query = sa.select(table.c.series_instance_uid, table.c.id).where(table.c.study_id == study_id)
    return {row[0]: row[1] for row in tx.execute(query)}


def _instance_row(receipt: Receipt, series_id: int, is_own_result: bool) -> dict[str, object]:
    return {
        "series_id": series_id,
        "sop_instance_uid": receipt.sop_instance_uid,
        "sop_class_uid": receipt.sop_class_uid,
        "transfer_syntax_uid": receipt.transfer_syntax_uid,
        "file_key": receipt.file_key,
        "size_bytes": receipt.size_bytes,
        "content_hash": receipt.content_hash,
        "calling_ae_title": receipt.calling_ae_title,
        "peer_address": receipt.peer_address,
        "received_at": receipt.received_at,
        "is_own_result": is_own_result,
    }


def _studies() -> sa.Select[tuple[object, ...]]:
    count = (
        sa.select(sa.func.count())
        .select_from(tables.instance.join(tables.series))
        .where(tables.series.c.study_id == tables.study.c.id)
        .scalar_subquery()
    )
    return sa.select(*tables.study.c, count.label("instance_count"))


def _one(tx: sa.Connection, condition: sa.ColumnElement[bool], *, is_locking: bool = False) -> records.Study:
    query = _studies().where(condition)
    row = tx.execute(query.with_for_update(of=tables.study) if is_locking else query).mappings().one_or_none()
    if row is None:
        raise NotFound("there is no such study; `pulmonode study list` shows what there is")
    return _study(row)


def _study(row: sa.RowMapping) -> records.Study:
    return records.Study(
        id=StudyId(row["id"]),
        study_instance_uid=StudyUid(row["study_instance_uid"]),
        state=StudyState(row["state"]),
        calling_ae_title=row["calling_ae_title"],
        first_received_at=row["first_received_at"],
        last_received_at=row["last_received_at"],
        settle_at=row["settle_at"],
        checks=row["checks"],
        check_until=row["check_until"],
        attempt=row["attempt"],
        strikes=row["strikes"],
        next_at=row["next_at"],
        instance_count=row["instance_count"],
    )
