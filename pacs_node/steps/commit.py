"""Commit: senders ask whether we keep what they sent (N-ACTION), and are told (N-EVENT-REPORT).

A promise is given only for what is indexed, and lies on disk with the hash that it was received with. The request is a
row: whoever dies before the sender has the report, somebody else reports.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta
from typing import Any

from inference.errors import InferenceError
from pacs_node import log
from pacs_node.archive import records
from pacs_node.archive.queries import commitments, machine
from pacs_node.archive.queries.machine import COMMITMENTS, Move
from pacs_node.config import Caller, Config
from pacs_node.domain.commitment import (
    Asker,
    CommitmentEvent,
    CommitmentReport,
    CommitmentRequest,
    CommitmentState,
    Failed,
    FileState,
    reason_against,
)
from pacs_node.domain.identifiers import CommitmentId
from pacs_node.domain.retry import REPORT, check_worth, delay_s
from pacs_node.domain.step import Step
from pacs_node.errors import (
    CallerAddressMissing,
    InstanceUnreadable,
    NodeError,
    NotFound,
    PeerRefused,
    PeerUnreachable,
    StepTimeout,
)
from pacs_node.node import Node
from pacs_node.steps.confirm import conclude
from pacs_node.steps.failure import failure_of
from pacs_node.steps.lease import kept, new_holder
from pacs_node.steps.reindex import record_found

OWN_TURN = timedelta(seconds=60)
"""So long the process that heard the request has the first turn, because it has the sender's association."""
READERS = 2
"""So many threads read files at once."""
MOST_SENDERS = 64
"""So many have a thread at once."""

Reply = Callable[[CommitmentReport], None]
_Due = tuple[CommitmentId, Reply]


class CommitmentDesk:
    """Where the SCP puts requests; reports on the association that the request came on.

    Each sender has a thread for its reports, one after the other: one that does not answer keeps nobody else waiting.
    """

    def __init__(self, node: Node) -> None:
        self._node = dataclasses.replace(node, abandon=lambda: None)  # a late report must not end the SCP
        self._reading = threading.Semaphore(READERS)
        self._waiting: dict[Asker, deque[_Due]] = {}
        self._changed = threading.Condition()
        self._is_closing = False

    def accept(self, request: CommitmentRequest, asker: Asker, reply: Reply) -> None:
        """Record a sender's request; raises TransactionDuplicate, DatabaseUnavailable."""
        now = self._node.now()
        with self._node.database.transaction() as tx:
            due = commitments.request(tx, request, asker, now, now + OWN_TURN), reply
        log.event("commitment_requested", calling_ae_title=asker.calling_ae_title, instances=len(request.references))
        with self._changed:
            if asker in self._waiting:
                self._waiting[asker].append(due)
            elif len(self._waiting) < MOST_SENDERS:  # else it is left to the workers
                self._waiting[asker] = deque()
                threading.Thread(target=self._serve, args=[asker, due], name="commitment", daemon=True).start()

    def conclude(self, report: CommitmentReport) -> None:
        """Record what a destination commits to; raises NotFound, DatabaseUnavailable."""
        conclude(self._node, report)

    def close(self, timeout_s: float = 2.0) -> None:
        """Let the reports that are on their way end, if that is soon; the others are left to the workers."""
        with self._changed:
            self._is_closing = True
            self._changed.wait_for(lambda: not self._waiting, timeout_s)

    def _serve(self, asker: Asker, due: _Due | None) -> None:
        while due is not None:
            with suppress(NodeError):  # the index is away; the request waits in it for whoever comes next
                _report(self._node, *due, self._reading)
            due = self._next(asker)

    def _next(self, asker: Asker) -> _Due | None:
        with self._changed:
            if self._waiting[asker] and not self._is_closing:
                return self._waiting[asker].popleft()
            del self._waiting[asker]
            self._changed.notify_all()
            return None


def report_commitment(node: Node, commitment_id: CommitmentId) -> bool:
    """Report about a request that waits, on an association of our own; False if it does not wait (any more)."""
    with node.database.transaction() as tx:
        caller = caller_of(node.config, commitments.get(tx, commitment_id).calling_ae_title)
    return _report(node, commitment_id, lambda report: _tell(node, caller, report), nullcontext())


def _tell(node: Node, caller: Caller | None, report: CommitmentReport) -> None:
    if caller is None:
        raise CallerAddressMissing
    node.report(caller, report)


def caller_of(config: Config, calling_ae_title: str) -> Caller | None:
    """The sender with this AE title, if the configuration says where it listens."""
    known = (caller for caller in config.scp.callers if caller.host)
    return next((caller for caller in known if caller.ae_title.strip() == calling_ae_title), None)


def _report(node: Node, commitment_id: CommitmentId, reply: Reply, reading: AbstractContextManager[Any]) -> bool:
    holder = new_holder()
    until = node.now() + timedelta(seconds=node.config.work.lease_s)
    with node.database.transaction() as tx:
        if not commitments.claim(tx, commitment_id, node.now(), holder, until):
            return False
        commitment = commitments.get(tx, commitment_id)

    def give_up(error: StepTimeout) -> None:
        _record_failure(node, commitment, holder, error)

    try:
        check_worth(REPORT, commitment.attempt, commitment.strikes)
        with kept(node, Step.REPORT, COMMITMENTS, commitment_id, holder, give_up):
            with reading:
                report = _promised(node, commitment)
            reply(report)
    except Exception as error:  # noqa: BLE001 - the border of the step, see `steps.failure`
        _record_failure(node, commitment, holder, failure_of(error))
        return True
    _record_reported(node, commitment, holder, report)
    return True


def _promised(node: Node, commitment: records.Commitment) -> CommitmentReport:
    """What we commit to; noted in the index before anybody is told."""
    uids = [reference.sop_instance_uid for reference in commitment.references]
    held = _held(node, uids)
    reasons = {
        reference: reason_against(reference, held[uid].sop_class_uid, _file_state(node, held[uid]))
        if (uid := reference.sop_instance_uid) in held
        else reason_against(reference, None, FileState.MISSING)
        for reference in commitment.references
    }
    sound = {reference.sop_instance_uid for reference, reason in reasons.items() if reason is None}
    with node.database.transaction() as tx:
        here = commitments.promise(tx, sound, node.now())
    for reference in reasons:  # those that were deleted while the files were read
        if reference.sop_instance_uid in sound - here:
            reasons[reference] = reason_against(reference, None, FileState.MISSING)
    return CommitmentReport(
        transaction_uid=commitment.transaction_uid,
        committed=tuple(reference for reference, reason in reasons.items() if reason is None),
        failed=tuple(Failed(reference=item, reason=reason) for item, reason in reasons.items() if reason is not None),
    )


def _held(node: Node, uids: Iterable[str]) -> dict[str, records.Held]:
    """What the index has of these instances, once it has caught up with the disk."""
    with node.database.transaction() as tx:
        held = commitments.held(tx, uids)
    late = [receipt for uid in uids if uid not in held and (receipt := node.files.find_receipt(uid)) is not None]
    if late:
        record_found(node, late)
        with node.database.transaction() as tx:
            held |= commitments.held(tx, [receipt.sop_instance_uid for receipt in late])
    return held


def _file_state(node: Node, held: records.Held) -> FileState:
    try:
        return FileState.INTACT if node.files.is_intact(held.file_key, held.content_hash) else FileState.DAMAGED
    except NotFound:
        return FileState.MISSING
    except InstanceUnreadable:
        return FileState.DAMAGED


def _record_reported(node: Node, commitment: records.Commitment, holder: str, report: CommitmentReport) -> None:
    step = Move(
        row_id=commitment.id,
        state=CommitmentState.REPORTING,
        event=CommitmentEvent.ACCEPT,
        at=node.now(),
        holder=holder,
    )
    with node.database.transaction() as tx:
        machine.move(tx, COMMITMENTS, step, reported_at=step.at, failed_count=len(report.failed))
    log.event(
        "commitment_reported",
        calling_ae_title=commitment.calling_ae_title,
        instances=len(report.committed),
        count=len(report.failed),
    )


def _record_failure(node: Node, commitment: records.Commitment, holder: str, error: InferenceError | NodeError) -> None:
    """Try again: at once if only the association is gone, later if nobody listens, never without an address."""
    wait_s = delay_s(REPORT, commitment.attempt, node.chance()) if error.retryable else None
    if commitment.attempt == 1 and isinstance(error, PeerUnreachable | PeerRefused):
        wait_s = 0.0
    now = node.now()
    step = Move(
        row_id=commitment.id,
        state=CommitmentState.REPORTING,
        event=CommitmentEvent.FAIL if wait_s is None else CommitmentEvent.DELAY,
        at=now,
        holder=holder,
        code=error.code,
        text=str(error),
    )
    with node.database.transaction() as tx:
        machine.move(tx, COMMITMENTS, step, next_at=None if wait_s is None else now + timedelta(seconds=wait_s))
    log.event(
        "commitment_not_reported",
        calling_ae_title=commitment.calling_ae_title,
        code=error.code,
        attempt=commitment.attempt,
        next_s=wait_s,
    )
