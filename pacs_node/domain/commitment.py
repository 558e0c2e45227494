"""Storage commitment: the promise to keep instances. We give it to senders as SCP, and destinations give it to us.

What is decided about it, and the life of a sender's request; the life of a delivery that is to be committed to is in
`delivery`. `dimse.commitment` speaks, `steps.commit` acts.

References
----------
PS3.4 annex J; failure reasons: PS3.3 section C.14.1.1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol


class FailureReason(IntEnum):
    """Why an instance is not committed to."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_CONFLICT = 0x0119
    CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION = 0x0131
    RESOURCE_LIMITATION = 0x0213


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Reference:
    """An instance that a promise is about."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An instance that is not committed to; the reason is a number, since peers have reasons of their own."""

    reference: Reference
    reason: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRequest:
    """What somebody is asked to keep."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """What somebody keeps, and what not."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[Failed, ...]


class Desk(Protocol):
    """Where `dimse.scp` puts what it hears about commitments."""

    def accept(self, request: CommitmentRequest, asker: Asker, reply: Callable[[CommitmentReport], None]) -> None:
        """Record a sender's request; its report follows, by `reply` as long as the association lives.

        Raises
        ------
        TransactionDuplicate, DatabaseUnavailable
        """
        ...

    def conclude(self, report: CommitmentReport) -> None:
        """Record what a destination commits to; raises NotFound for an unknown transaction, DatabaseUnavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """The sender that asks for a promise."""

    calling_ae_title: str
    address: str


class FileState(StrEnum):
    """What lies on disk of an indexed instance."""

    INTACT = "intact"
    MISSING = "missing"
    DAMAGED = "damaged"


def reason_against(reference: Reference, held_class_uid: str | None, file: FileState) -> FailureReason | None:
    """Why we must not commit to an instance; None if we may.

    Parameters
    ----------
    held_class_uid : its SOP class in the index, None if it is not there
    file : what lies on disk
    """
    if held_class_uid is None or file is FileState.MISSING:
        return FailureReason.NO_SUCH_INSTANCE
    if held_class_uid != reference.sop_class_uid:
        return FailureReason.CLASS_CONFLICT
    return None if file is FileState.INTACT else FailureReason.PROCESSING_FAILURE


class Answer(StrEnum):
    """What a destination's report means for a delivery."""

    COMMITTED = "committed"
    """it keeps everything that it was sent"""
    ASK_AGAIN = "ask-again"
    """it could not say: the same instances may be asked for later"""
    SEND_AGAIN = "send-again"
    """it lacks something that it was sent"""


_TO_BE_ASKED_AGAIN = {
    FailureReason.PROCESSING_FAILURE,
    FailureReason.DUPLICATE_TRANSACTION,
    FailureReason.RESOURCE_LIMITATION,
}
"""Reasons that say nothing about the instance itself."""


def answer_of(sent: Collection[Reference], report: CommitmentReport) -> Answer:
    """What to make of a report about these instances; one that is not mentioned is not committed to."""
    committed = {reference.sop_instance_uid for reference in report.committed}
    reasons = {failed.reference.sop_instance_uid: failed.reason for failed in report.failed}
    missing = {reference.sop_instance_uid for reference in sent} - (committed - reasons.keys())
    if not missing:
        return Answer.COMMITTED
    is_undecided = all(reasons.get(uid) in _TO_BE_ASKED_AGAIN for uid in missing)
    return Answer.ASK_AGAIN if is_undecided else Answer.SEND_AGAIN


class CommitmentState(StrEnum):
    """Where a sender's request is."""

    PENDING = "pending"
    """the report is due, perhaps only at `next_at`"""
    REPORTING = "reporting"
    """files are being verified and the sender is told, under a lease"""
    REPORTED = "reported"
    """the sender has taken the report"""
    FAILED = "failed"
    """the sender could not be told"""


class CommitmentEvent(StrEnum):
    """What happens to a sender's request."""

    REQUEST = "request"
    REPORT = "report"
    ACCEPT = "accept"
    DELAY = "delay"
    EXPIRE = "expire"
    FAIL = "fail"


S, E = CommitmentState, CommitmentEvent

COMMITMENT = {
    (S.PENDING, E.REQUEST): S.PENDING,
    (S.PENDING, E.REPORT): S.REPORTING,
    (S.REPORTING, E.ACCEPT): S.REPORTED,
    (S.REPORTING, E.DELAY): S.PENDING,
    (S.REPORTING, E.EXPIRE): S.PENDING,
    (S.REPORTING, E.FAIL): S.FAILED,
    (S.REPORTED, E.REQUEST): S.PENDING,
    (S.FAILED, E.REQUEST): S.PENDING,
}
