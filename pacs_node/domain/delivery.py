"""The life of a delivery: one result to one destination."""

from __future__ import annotations

from enum import StrEnum


class DeliveryState(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    """waits to be sent, perhaps until `next_at`"""
    SENDING = "sending"
    """an association is open, under a lease"""
    DELIVERED = "delivered"
    """the destination has accepted every instance, and no more is expected of it"""
    UNCOMMITTED = "uncommitted"
    """accepted as well; the destination is to be asked whether it keeps them, perhaps only at `next_at`"""
    ASKING = "asking"
    """an association for that is open, under a lease"""
    COMMITTED = "committed"
    """the destination keeps them"""
    FAILED = "failed"
    """the destination refused for good, or all attempts are used up"""
    SUPERSEDED = "superseded"
    """a newer result took its place before it was sent"""


class DeliveryEvent(StrEnum):
    """What happens to a delivery."""

    SEND = "send"
    ACCEPT = "accept"
    AWAIT = "await"
    """accepted or asked, and a promise is still expected"""
    ASK = "ask"
    COMMIT = "commit"
    REFUSE = "refuse"
    """the destination lacks something that it had accepted"""
    DELAY = "delay"
    EXPIRE = "expire"
    FAIL = "fail"
    SUPERSEDE = "supersede"
    RETRY = "retry"


S, E = DeliveryState, DeliveryEvent

DELIVERY = {
    (S.PENDING, E.SEND): S.SENDING,
    (S.PENDING, E.SUPERSEDE): S.SUPERSEDED,
    (S.SENDING, E.ACCEPT): S.DELIVERED,
    (S.SENDING, E.AWAIT): S.UNCOMMITTED,
    (S.SENDING, E.DELAY): S.PENDING,
    (S.SENDING, E.EXPIRE): S.PENDING,
    (S.SENDING, E.FAIL): S.FAILED,
    (S.UNCOMMITTED, E.ASK): S.ASKING,
    (S.UNCOMMITTED, E.AWAIT): S.UNCOMMITTED,
    (S.UNCOMMITTED, E.COMMIT): S.COMMITTED,
    (S.UNCOMMITTED, E.REFUSE): S.PENDING,
    (S.UNCOMMITTED, E.ACCEPT): S.DELIVERED,
    (S.ASKING, E.AWAIT): S.UNCOMMITTED,
    (S.ASKING, E.EXPIRE): S.UNCOMMITTED,
    (S.ASKING, E.COMMIT): S.COMMITTED,
    (S.ASKING, E.REFUSE): S.PENDING,
    (S.ASKING, E.ACCEPT): S.DELIVERED,
    (S.DELIVERED, E.COMMIT): S.COMMITTED,
    (S.FAILED, E.RETRY): S.PENDING,
    (S.DELIVERED, E.RETRY): S.PENDING,
    (S.UNCOMMITTED, E.RETRY): S.PENDING,
    (S.ASKING, E.RETRY): S.PENDING,
    (S.COMMITTED, E.RETRY): S.PENDING,
}

ACCEPTED = frozenset({S.DELIVERED, S.UNCOMMITTED, S.ASKING, S.COMMITTED})
"""States in which the destination has accepted every instance."""
