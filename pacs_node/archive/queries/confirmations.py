"""Deliveries whose destinations are asked to commit to what they accepted."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from pacs_node.archive import records, tables
from pacs_node.archive.queries import deliveries
from pacs_node.archive.queries.machine import DELIVERIES, Move, move
from pacs_node.domain.delivery import DeliveryEvent, DeliveryState
from pacs_node.domain.identifiers import DeliveryId
from pacs_node.errors import NotFound


def claim(tx: sa.Connection, delivery_id: DeliveryId, at: datetime, holder: str, until: datetime) -> bool:
    """Take an accepted delivery under a lease in order to ask about it; False if it is not due (any more)."""
    delivery = deliveries.get(tx, delivery_id)
    if delivery.state is not DeliveryState.UNCOMMITTED or (delivery.next_at is not None and delivery.next_at > at):
        return False
    step = Move(row_id=delivery_id, state=delivery.state, event=DeliveryEvent.ASK, at=at)
    return move(tx, DELIVERIES, step, asks=delivery.asks + 1, lease_holder=holder, lease_until=until)


def of_transaction(tx: sa.Connection, transaction_uid: str) -> records.Delivery:
    """The delivery that a transaction is about, kept for this transaction alone; raises NotFound."""
    table = tables.delivery
    query = sa.select(table.c.id).where(table.c.transaction_uid == transaction_uid).with_for_update()
    delivery_id = tx.scalar(query)
    if delivery_id is None:
        raise NotFound("no delivery is about this transaction")
    return deliveries.get(tx, DeliveryId(delivery_id))
