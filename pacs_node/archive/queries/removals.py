"""Files of instances that the index has let go of and that are still on disk, or may be.

A file is named by its key and the time of its receipt, because the same instance may come again under the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from pacs_node.archive import tables
from pacs_node.domain.instance import Receipt


def add(tx: sa.Connection, series_ids: sa.Select[tuple[int]]) -> int:
    """Let go of all instances of these series, and note their files; how many."""
    instance, removal = tables.instance, tables.removal
    mine = instance.c.series_id.in_(series_ids)
    files = sa.select(instance.c.file_key, instance.c.received_at).where(mine)
    tx.execute(sa.insert(removal).from_select(["file_key", "received_at"], files))
    return tx.execute(sa.delete(instance).where(mine)).rowcount


def listed(tx: sa.Connection, limit: int) -> tuple[tuple[int, str, datetime], ...]:
    """Files to be removed: row, key and when they were received."""
    table = tables.removal
    query = sa.select(table.c.id, table.c.file_key, table.c.received_at).order_by(table.c.id).limit(limit)
    return tuple((row_id, key, at) for row_id, key, at in tx.execute(query))


def done(tx: sa.Connection, ids: Iterable[int]) -> None:
    """Forget files that are gone."""
    tx.execute(sa.delete(tables.removal).where(tables.removal.c.id.in_(list(ids))))


def condemned(tx: sa.Connection, receipts: Sequence[Receipt]) -> set[tuple[str, datetime]]:
    """Which of these files are to be removed, by key and time of receipt."""
    table = tables.removal
    keys = sorted({receipt.file_key for receipt in receipts})
    query = sa.select(table.c.file_key, table.c.received_at).where(table.c.file_key.in_(keys))
    return {(key, at) for key, at in tx.execute(query)}
