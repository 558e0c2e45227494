"""What destinations are known not to take; learned by `pulmonode destination probe` and at deliveries."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from pacs_node.archive import records, tables
from pacs_node.archive.queries.inserting import insert_missing


def of(tx: sa.Connection, destination: str, endpoint: str, *, is_locking: bool = False) -> records.Support | None:
    """What is known of a destination at this endpoint; None if nothing is."""
    table = tables.destination_support
    query = sa.select(table).where(table.c.destination == destination, table.c.endpoint == endpoint)
    row = tx.execute(query.with_for_update() if is_locking else query).mappings().one_or_none()
    return None if row is None else records.Support(refused=tuple(row["refused"]), learned_at=row["learned_at"])


def learn(tx: sa.Connection, destination: str, endpoint: str, refused: Collection[str], at: datetime) -> None:
    """Remember the SOP classes that a destination does not take, in place of what was known."""
    table = tables.destination_support
    values = {"endpoint": endpoint, "refused": sorted(refused), "learned_at": at}
    if insert_missing(tx, table, [{"destination": destination, **values}]) == 0:
        tx.execute(sa.update(table).where(table.c.destination == destination).values(values))


def refuse(tx: sa.Connection, destination: str, endpoint: str, sop_class_uid: str, at: datetime) -> None:
    """Remember one more SOP class that a destination does not take."""
    known = of(tx, destination, endpoint, is_locking=True)
    learned_at = at if known is None else known.learned_at
    learn(tx, destination, endpoint, {sop_class_uid, *(known.refused if known else ())}, learned_at)
