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
    """the destination has accepted every instance"""
    FAILED = "failed"
    """the destination refused for good, or all attempts are used up"""
    SUPERSEDED = "superseded"
    """a newer result took its place before it was sent"""


class DeliveryEvent(StrEnum):
    """What happens to a delivery."""

    SEND = "send"
    ACCEPT = "accept"
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
    (S.SENDING, E.DELAY): S.PENDING,
    (S.SENDING, E.EXPIRE): S.PENDING,
    (S.SENDING, E.FAIL): S.FAILED,
    (S.FAILED, E.RETRY): S.PENDING,
    (S.DELIVERED, E.RETRY): S.PENDING,
}
