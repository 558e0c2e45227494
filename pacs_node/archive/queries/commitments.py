"""What senders asked us to keep, and what we promised."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from pacs_node.archive import records, tables
from pacs_node.archive.queries.inserting import insert_missing
from pacs_node.archive.queries.machine import COMMITMENTS, FRESH, Move, move, record
from pacs_node.domain.commitment import (
    Asker,
    CommitmentEvent,
    CommitmentRequest,
    CommitmentState,
    Reference,
)
from pacs_node.domain.identifiers import CommitmentId
from pacs_node.errors import NotFound, TransactionDuplicate

GROUP = 500
"""UIDs in one query; SQLite takes 32,766 parameters, PostgreSQL 65,535."""


def request(tx: sa.Connection, asked: CommitmentRequest, asker: Asker, at: datetime, next_at: datetime) -> CommitmentId:
    """Record a request; the very same one again asks for another report.

    Parameters
    ----------
    next_at : from then on workers may report

    Raises
    ------
    TransactionDuplicate : this sender used the UID for other instances
    """
    table = tables.commitment
    row = {
        "transaction_uid": asked.transaction_uid,
        "calling_ae_title": asker.calling_ae_title,
        "peer_address": asker.address,
        "references": [[item.sop_class_uid, item.sop_instance_uid] for item in asked.references],
        "state": CommitmentState.PENDING,
        "next_at": next_at,
        "requested_at": at,
    }
    is_new = insert_missing(tx, table, [row]) == 1
    mine = sa.and_(table.c.transaction_uid == asked.transaction_uid, table.c.calling_ae_title == asker.calling_ae_title)
    found = _commitment(tx.execute(sa.select(table).where(mine).with_for_update()).mappings().one())
    if sorted(found.references) != sorted(asked.references):
        raise TransactionDuplicate
    step = Move(row_id=found.id, state=found.state, event=CommitmentEvent.REQUEST, at=at)
    if is_new:
        record(tx, COMMITMENTS, step, state=found.state)
    elif found.state is not CommitmentState.REPORTING:
        move(tx, COMMITMENTS, step, **FRESH, next_at=next_at)
    return found.id


def claim(tx: sa.Connection, commitment_id: CommitmentId, at: datetime, holder: str, until: datetime) -> bool:
    """Take a request under a lease in order to report about it; False if it does not wait (any more)."""
    commitment = get(tx, commitment_id)
    if commitment.state is not CommitmentState.PENDING:
        return False
    step = Move(row_id=commitment_id, state=commitment.state, event=CommitmentEvent.REPORT, at=at)
    lease = {"lease_holder": holder, "lease_until": until}
    return move(tx, COMMITMENTS, step, attempt=commitment.attempt + 1, **lease)


def get(tx: sa.Connection, commitment_id: CommitmentId) -> records.Commitment:
    """One request; raises NotFound."""
    table = tables.commitment
    row = tx.execute(sa.select(table).where(table.c.id == commitment_id)).mappings().one_or_none()
    if row is None:
        raise NotFound("there is no such request for storage commitment")
    return _commitment(row)


def held(tx: sa.Connection, uids: Iterable[str]) -> dict[str, records.Held]:
    """What the index says of these instances, by UID; those that it lacks are left out."""
    table = tables.instance
    columns = (table.c.sop_instance_uid, table.c.sop_class_uid, table.c.file_key, table.c.content_hash)
    return {
        uid: records.Held(sop_class_uid=sop_class_uid, file_key=file_key, content_hash=content_hash)
        for group in _groups(uids)
        for uid, sop_class_uid, file_key, content_hash in tx.execute(sa.select(*columns).where(columns[0].in_(group)))
    }


def promise(tx: sa.Connection, uids: Collection[str], at: datetime) -> frozenset[str]:
    """Note that we commit to these instances; those of them that are still here."""
    table, here = tables.instance, set[str]()
    for group in _groups(sorted(uids)):
        meant = table.c.sop_instance_uid.in_(group)
        tx.execute(sa.update(table).where(meant, table.c.committed_at.is_(None)).values(committed_at=at))
        here.update(tx.scalars(sa.select(table.c.sop_instance_uid).where(meant)))
    return frozenset(here)


def promised(tx: sa.Connection) -> frozenset[str]:
    """The instances that we have committed to, by UID."""
    table = tables.instance
    return frozenset(tx.scalars(sa.select(table.c.sop_instance_uid).where(table.c.committed_at.is_not(None))))


def _groups(uids: Iterable[str]) -> Iterable[Sequence[str]]:
    left = iter(uids)
    while group := tuple(itertools.islice(left, GROUP)):
        yield group


def _commitment(row: sa.RowMapping) -> records.Commitment:
    return records.Commitment(
        id=CommitmentId(row["id"]),
        transaction_uid=row["transaction_uid"],
        calling_ae_title=row["calling_ae_title"],
        references=tuple(Reference(sop_class_uid=a, sop_instance_uid=b) for a, b in row["references"]),
        state=CommitmentState(row["state"]),
        attempt=row["attempt"],
        strikes=row["strikes"],
        next_at=row["next_at"],
        requested_at=row["requested_at"],
        reported_at=row["reported_at"],
        failed_count=row["failed_count"],
    )
