"""Confirm: a destination that has accepted a result is asked whether it keeps it; its word is recorded.

What it turns out to lack is sent again, a few times. A destination that never answers has the result all the same: the
delivery counts as delivered, and not as committed.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

from inference.errors import InferenceError
from pacs_node import log
from pacs_node.archive import records
from pacs_node.archive.queries import confirmations, deliveries, machine
from pacs_node.archive.queries.machine import DELIVERIES, Move
from pacs_node.domain.commitment import Answer, CommitmentReport, CommitmentRequest, answer_of
from pacs_node.domain.delivery import DeliveryEvent, DeliveryState
from pacs_node.domain.identifiers import DeliveryId
from pacs_node.domain.retry import CONFIRM, STRIKES, delay_s
from pacs_node.domain.step import Step
from pacs_node.errors import CommitmentRefused, NodeError, Quarantined, StepTimeout
from pacs_node.node import Node
from pacs_node.steps.failure import failure_of
from pacs_node.steps.lease import kept, new_holder
from pacs_node.steps.shipping import destination_named

MOST_RESENDS = 3
"""A destination that loses the same result so often will lose it again."""
LACKING = "commitment.lacking"
"""Code of a delivery whose destination lacks something that it had accepted."""
MISSING = "commitment.missing"
"""Code of a delivery whose destination was asked, and has not said what it keeps."""


def new_transaction_uid() -> str:
    """A UID that no other request has (PS3.5 section B.2)."""
    return f"2.25.{uuid.uuid4().int}"


_Next = dict[str, Any]
"""The event that happens to the delivery, and the values of its row that change with it."""


def confirm_delivery(node: Node, delivery_id: DeliveryId) -> bool:
    """Ask the destination of an accepted delivery that is due; False if it is not (any more)."""
    holder, now = new_holder(), node.now()
    until = now + timedelta(seconds=node.config.work.lease_s)
    with node.database.transaction() as tx:
        if not confirmations.claim(tx, delivery_id, now, holder, until):
            return False
        delivery = deliveries.get(tx, delivery_id)

    def give_up(error: StepTimeout) -> None:
        _record_failure(node, delivery, holder, error)

    try:
        if delivery.strikes >= STRIKES:
            raise Quarantined
        destination = destination_named(node.config, delivery.destination)
        with kept(node, Step.CONFIRM, DELIVERIES, delivery_id, holder, give_up):
            report = node.ask(destination, _request(delivery)) if delivery.asks <= CONFIRM.attempts else None
    except Exception as error:  # noqa: BLE001 - the border of the step, see `steps.failure`
        _record_failure(node, delivery, holder, failure_of(error))
        return True
    if report is not None:
        conclude(node, report)
    else:
        _record_unanswered(node, delivery, holder, destination.commitment_s)
    return True


def conclude(node: Node, report: CommitmentReport) -> None:
    """Record what a destination says that it keeps; the same report again changes nothing.

    Raises
    ------
    NotFound : no delivery waits for a report on this transaction
    DatabaseUnavailable
    """
    with node.database.transaction() as tx:
        delivery = confirmations.of_transaction(tx, report.transaction_uid)
        if delivery.state is DeliveryState.COMMITTED:
            return
        answer = answer_of(delivery.sent, report)
        after: _Next = {}
        if answer is Answer.COMMITTED:
            after = {"event": DeliveryEvent.COMMIT}
        elif delivery.state is not DeliveryState.DELIVERED:  # else it was given up
            after = _after(node, delivery, answer)
        if after:
            code, text = (None, None) if answer is Answer.COMMITTED else (LACKING, _reasons(report))
            event = after.pop("event")
            step = Move(row_id=delivery.id, state=delivery.state, event=event, at=node.now(), code=code, text=text)
            machine.move(tx, DELIVERIES, step, **after)
    log.event(
        "result_committed" if answer is Answer.COMMITTED else "result_not_committed",
        level=logging.INFO if answer is Answer.COMMITTED else logging.WARNING,
        delivery_id=delivery.id,
        destination=delivery.destination,
        instances=len(report.committed),
        count=len(report.failed),
        outcome=answer,
    )


def _request(delivery: records.Delivery) -> CommitmentRequest:
    assert delivery.transaction_uid is not None
    return CommitmentRequest(transaction_uid=delivery.transaction_uid, references=delivery.sent)


def _after(node: Node, delivery: records.Delivery, answer: Answer) -> _Next:
    """What follows a report that does not commit to everything."""
    if answer is Answer.ASK_AGAIN:
        return _ask_again(node, delivery) | {"transaction_uid": new_transaction_uid()}
    if delivery.resends >= MOST_RESENDS:
        return {"event": DeliveryEvent.ACCEPT}
    wait_s = delay_s(CONFIRM, delivery.resends + 1, node.chance()) or 0.0
    next_at = node.now() + timedelta(seconds=wait_s if delivery.resends else 0.0)
    again = {"resends": delivery.resends + 1, "transaction_uid": None, "next_at": next_at}
    return {"event": DeliveryEvent.REFUSE, **machine.FRESH, **again}


def _ask_again(node: Node, delivery: records.Delivery) -> _Next:
    wait_s = delay_s(CONFIRM, delivery.asks, node.chance())
    if wait_s is None:
        return {"event": DeliveryEvent.ACCEPT}
    return {"event": DeliveryEvent.AWAIT, "next_at": node.now() + timedelta(seconds=wait_s)}


def _reasons(report: CommitmentReport) -> str:
    counts = Counter(failed.reason for failed in report.failed)
    return ", ".join(f"{count} of 0x{reason:04X}" for reason, count in sorted(counts.items())) or "not mentioned"


def _record_unanswered(node: Node, delivery: records.Delivery, holder: str, wait_s: float) -> None:
    """Its report is still to come, on an association of its own."""
    if delivery.asks > CONFIRM.attempts:
        _record(node, delivery, holder, MISSING, {"event": DeliveryEvent.ACCEPT})
    else:
        next_at = node.now() + timedelta(seconds=wait_s)
        _record(node, delivery, holder, None, {"event": DeliveryEvent.AWAIT, "next_at": next_at})


def _record_failure(node: Node, delivery: records.Delivery, holder: str, error: InferenceError | NodeError) -> None:
    after = _ask_again(node, delivery) if error.retryable else {"event": DeliveryEvent.ACCEPT}
    if isinstance(error, CommitmentRefused):
        after |= {"transaction_uid": new_transaction_uid()}  # it may be the number that it minds
    _record(node, delivery, holder, error.code, after)


def _record(node: Node, delivery: records.Delivery, holder: str, code: str | None, after: _Next) -> None:
    event = after.pop("event")
    step = Move(row_id=delivery.id, state=DeliveryState.ASKING, event=event, at=node.now(), holder=holder, code=code)
    with node.database.transaction() as tx:
        is_mine = machine.move(tx, DELIVERIES, step, **after)
    if is_mine:
        log.event(
            "commitment_awaited" if event is DeliveryEvent.AWAIT else "commitment_given_up",
            level=logging.INFO if event is DeliveryEvent.AWAIT else logging.WARNING,
            delivery_id=delivery.id,
            destination=delivery.destination,
            code=code,
            attempt=delivery.asks,
        )
