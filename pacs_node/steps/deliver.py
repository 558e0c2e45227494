"""Deliver: one result to one destination, once, as what the destination takes.

A destination that cannot be reached is left alone for a while by all of its deliveries, so that it holds up nobody
else; the first that gets through lets the others follow at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from inference.errors import InferenceError
from pacs_node import log
from pacs_node.archive import records
from pacs_node.archive.queries import deliveries, jobs, machine, support
from pacs_node.archive.queries.machine import DELIVERIES, Move
from pacs_node.config import Destination
from pacs_node.domain.delivery import DeliveryEvent, DeliveryState
from pacs_node.domain.identifiers import DeliveryId
from pacs_node.domain.retry import DELIVER, check_worth, delay_s
from pacs_node.domain.shipment import Part
from pacs_node.domain.step import Step
from pacs_node.errors import (
    NodeError,
    PeerRefused,
    PeerRefusedContext,
    PeerTakesNothing,
    PeerUnreachable,
    StepTimeout,
)
from pacs_node.node import Node
from pacs_node.steps.compose import complete_result
from pacs_node.steps.confirm import new_transaction_uid
from pacs_node.steps.failure import failure_of
from pacs_node.steps.lease import kept, new_holder
from pacs_node.steps.shipping import destination_named, learn_refused, probe_destination, shipment_to

FALLBACK = "delivery.fallback"
"""Code of a delivery that is not as its profile wants it."""
NOTHING = "nothing was sent: the result has no document of this profile; add sr, captures or pdf to it"
ASK_AGAIN = timedelta(days=1)
"""A destination that refused something is asked again after this time: somebody may have changed its settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What went out, and why it was not what the profile says."""

    items: tuple[records.StoredResult, ...]
    warnings: tuple[str, ...]


def deliver_result(node: Node, delivery_id: DeliveryId) -> bool:
    """Send a due delivery; False if it is not due (any more).

    A retry sends the same instances with the same UIDs, so a destination that has them already loses nothing.
    """
    holder, now = new_holder(), node.now()
    until = now + timedelta(seconds=node.config.work.lease_s)
    with node.database.transaction() as tx:
        if not deliveries.claim(tx, delivery_id, now, holder, until):
            return False
        delivery = deliveries.get(tx, delivery_id)
        before = jobs.results(tx, delivery.job_id)
    started = time.monotonic()

    def give_up(error: StepTimeout) -> None:
        _record_failure(node, delivery, holder, error, before)

    try:
        check_worth(DELIVER, delivery.attempt, delivery.strikes)
        with kept(node, Step.DELIVER, DELIVERIES, delivery_id, holder, give_up):
            sent = _send(node, delivery, destination_named(node.config, delivery.destination))
    except Exception as error:  # noqa: BLE001 - the border of the step, see `steps.failure`
        _record_failure(node, delivery, holder, failure_of(error), before)
        return True
    _record_sent(node, delivery, holder, sent, time.monotonic() - started)
    return True


def _send(node: Node, delivery: records.Delivery, destination: Destination) -> _Sent:
    """Send what the destination takes; what it turns out to refuse is remembered, and replaced at once."""
    refused = _refused(node, destination)
    with node.database.transaction() as tx:
        study = jobs.get(tx, delivery.job_id).study_instance_uid
    while True:
        what = shipment_to(node.config, destination, refused)
        if not what.parts:
            raise PeerTakesNothing(f"{PeerTakesNothing.__doc__} Let it take SEG, SR or secondary captures.")
        items = _chosen(complete_result(node, delivery.job_id, what.parts), what.parts)
        try:
            if items:
                with node.audit.sending(destination, study, len(items)):
                    node.send(destination, [node.files.path(item.file_key) for item in items])
        except PeerRefusedContext as error:
            if not error.sop_class_uid or error.sop_class_uid in refused:
                raise
            refused |= {error.sop_class_uid}
            learn_refused(node, destination, error.sop_class_uid)
        else:
            return _Sent(items=items, warnings=what.warnings if items else (*what.warnings, NOTHING))


def _refused(node: Node, destination: Destination) -> frozenset[str]:
    """What the destination refuses; it is asked anew if that was long ago, or would leave nothing to send."""
    with node.database.transaction() as tx:
        known = support.of(tx, destination.name, destination.endpoint)
    if known is not None:
        is_old = bool(known.refused) and node.now() - known.learned_at > ASK_AGAIN
        if not is_old and shipment_to(node.config, destination, known.refused).parts:
            return frozenset(known.refused)
    return probe_destination(node, destination)


def _chosen(stored: Sequence[records.StoredResult], parts: Sequence[Part]) -> tuple[records.StoredResult, ...]:
    """The instances of these parts, in the order of the parts: what is referred to goes first."""
    return tuple(
        item for part in parts for item in stored if (item.role, item.sop_class_uid) == (part.role, part.sop_class_uid)
    )


def _record_sent(node: Node, delivery: records.Delivery, holder: str, sent: _Sent, duration_s: float) -> None:
    with node.database.transaction() as tx:
        job = jobs.get(tx, delivery.job_id, is_locking=True)  # or a new result might be recorded unseen
        is_current = set(sent.items) <= set(jobs.results(tx, delivery.job_id))
        is_to_commit = bool(sent.items) and destination_named(node.config, delivery.destination).commitment
        accepted = DeliveryEvent.AWAIT if is_to_commit else DeliveryEvent.ACCEPT
        step = Move(
            row_id=delivery.id,
            state=DeliveryState.SENDING,
            event=accepted if is_current else DeliveryEvent.DELAY,
            at=node.now(),
            holder=holder,
            code=FALLBACK if sent.warnings else None,
            text="; ".join(sent.warnings) or None,
        )
        values = {"delivered_at": step.at if is_current else None, "strikes": 0, **_to_commit(sent)}
        is_mine = machine.move(tx, DELIVERIES, step, **values)
        if is_mine and sent.items:
            deliveries.release(tx, delivery.destination)
    if is_mine and is_current and sent.items:
        destination = destination_named(node.config, delivery.destination)
        node.audit.exported(destination, job.study_instance_uid, len(sent.items))
    log.event(
        "result_delivered" if is_current else "result_changed_while_sent",
        level=logging.WARNING if sent.warnings else logging.INFO,
        delivery_id=delivery.id,
        destination=delivery.destination,
        instances=len(sent.items),
        code=FALLBACK if sent.warnings else None,
        duration_s=duration_s,
    )


def _to_commit(sent: _Sent) -> dict[str, object]:
    """What the destination may be asked to commit to."""
    references = [[item.sop_class_uid, item.sop_instance_uid] for item in sent.items]
    return {"sent": references, "transaction_uid": new_transaction_uid(), "asks": 0}


def _wait_s(attempt: int, others: int, chance: float) -> float | None:
    """Until the next attempt; as long as for the unluckiest of those that wait for the same destination."""
    if delay_s(DELIVER, attempt, chance) is None:
        return None
    return delay_s(DELIVER, min(max(attempt, others), DELIVER.attempts - 1), chance)


def _record_failure(
    node: Node,
    delivery: records.Delivery,
    holder: str,
    error: InferenceError | NodeError,
    before: Sequence[records.StoredResult],
) -> None:
    now = node.now()
    with node.database.transaction() as tx:
        jobs.get(tx, delivery.job_id, is_locking=True)
        is_changed = not set(before) <= set(jobs.results(tx, delivery.job_id))
        others = deliveries.failures(tx, delivery.destination)
        is_down = _is_down(error, others)
        wait_s = _wait_s(delivery.attempt, others if is_down else 0, node.chance()) if error.retryable else None
        if wait_s is None and is_changed:
            wait_s = 0.0  # what failed for good is no longer the result
        step = Move(
            row_id=delivery.id,
            state=DeliveryState.SENDING,
            event=DeliveryEvent.FAIL if wait_s is None else DeliveryEvent.DELAY,
            at=now,
            holder=holder,
            code=error.code,
            text=str(error),
        )
        until = None if wait_s is None else now + timedelta(seconds=wait_s)
        is_mine = machine.move(tx, DELIVERIES, step, next_at=until, is_held=is_down and until is not None)
        if is_mine and is_down and until is not None:
            deliveries.hold(tx, delivery.destination, until)
    log.event(
        "result_not_delivered",
        delivery_id=delivery.id,
        destination=delivery.destination,
        code=error.code,
        attempt=delivery.attempt,
        next_s=wait_s,
    )


def _is_down(error: InferenceError | NodeError, failures: int) -> bool:
    """Whether the destination itself is at fault; what fails while it is being sent may be at fault itself, unless
    another delivery to the same destination has failed, too."""
    if isinstance(error, StepTimeout):
        return failures > 0
    return isinstance(error, PeerUnreachable | PeerRefused) and (not error.is_met or failures > 0)
