"""Inserting what may be there already, as each database does it."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def insert_missing(tx: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> int:
    """Insert the rows that break no unique constraint, and count them; each database does that in its own dialect."""
    insert = postgresql.insert(table) if tx.dialect.name == "postgresql" else sqlite.insert(table)
    return len(tx.execute(insert.on_conflict_do_nothing().returning(table.c.id), list(rows)).all())
