"""The life of a study, from its first instance to the plan for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum


class StudyState(StrEnum):
    """Where a study is."""

    RECEIVING = "receiving"
    """instances arrive, or have arrived less than the quiet time ago"""
    UNCHECKED = "unchecked"
    """nothing new for the quiet time; waits to be compared with what the PACS holds, perhaps until `next_at`"""
    CHECKING = "checking"
    """the PACS is being asked what it holds, under a lease"""
    SETTLED = "settled"
    """nothing new for the quiet time; waits to be planned, perhaps until `next_at`"""
    PLANNING = "planning"
    """is being planned under a lease"""
    PLANNED = "planned"
    """every series has a decision; its jobs exist"""
    QUARANTINED = "quarantined"
    """it cannot be planned, or its planning ended two workers; set aside until it changes or somebody asks for it"""
    DELETED = "deleted"
    """its instances were deleted; what was decided and found is kept"""


class StudyEvent(StrEnum):
    """What happens to a study."""

    INSTANCE = "instance"
    """a new instance is indexed"""
    QUIET = "quiet"
    """the quiet time is over"""
    QUERY = "query"
    """the quiet time is over, and the PACS is to be asked first"""
    CHECK = "check"
    """a worker asks the PACS"""
    START = "start"
    """a worker takes it"""
    PLAN = "plan"
    """the decisions and jobs are recorded"""
    DELAY = "delay"
    """a failure; try again later"""
    EXPIRE = "expire"
    """the lease ran out, or its holder is dead"""
    SET_ASIDE = "set-aside"
    """a failure that will not pass by itself"""
    RETRY = "retry"
    """a new plan is asked for: by an administrator, or because a job's version of a model was retired"""
    DELETE = "delete"
    """retention deletes its instances"""


S, E = StudyState, StudyEvent

STUDY = {
    (S.RECEIVING, E.INSTANCE): S.RECEIVING,
    (S.UNCHECKED, E.INSTANCE): S.RECEIVING,
    (S.CHECKING, E.INSTANCE): S.RECEIVING,
    (S.SETTLED, E.INSTANCE): S.RECEIVING,
    (S.PLANNING, E.INSTANCE): S.RECEIVING,
    (S.PLANNED, E.INSTANCE): S.RECEIVING,
    (S.QUARANTINED, E.INSTANCE): S.RECEIVING,
    (S.DELETED, E.INSTANCE): S.RECEIVING,
    (S.RECEIVING, E.QUIET): S.SETTLED,
    (S.RECEIVING, E.QUERY): S.UNCHECKED,
    (S.UNCHECKED, E.CHECK): S.CHECKING,
    (S.CHECKING, E.DELAY): S.UNCHECKED,
    (S.CHECKING, E.EXPIRE): S.UNCHECKED,
    (S.CHECKING, E.QUIET): S.SETTLED,
    (S.SETTLED, E.START): S.PLANNING,
    (S.PLANNING, E.PLAN): S.PLANNED,
    (S.PLANNING, E.DELAY): S.SETTLED,
    (S.PLANNING, E.EXPIRE): S.SETTLED,
    (S.PLANNING, E.SET_ASIDE): S.QUARANTINED,
    (S.UNCHECKED, E.RETRY): S.SETTLED,
    (S.CHECKING, E.RETRY): S.SETTLED,
    (S.SETTLED, E.RETRY): S.SETTLED,
    (S.PLANNING, E.RETRY): S.SETTLED,
    (S.PLANNED, E.RETRY): S.SETTLED,
    (S.QUARANTINED, E.RETRY): S.SETTLED,
    (S.PLANNED, E.DELETE): S.DELETED,
}


UNDECIDED = frozenset({S.RECEIVING, S.UNCHECKED, S.CHECKING, S.SETTLED, S.PLANNING})
"""States that a plan follows; what was planned before may not hold any more."""


def settle_at(last_received_at: datetime, quiet_s: float) -> datetime:
    """When a study settles if nothing more arrives."""
    return last_received_at + timedelta(seconds=quiet_s)
