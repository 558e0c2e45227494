"""The life of a study, from its first instance to the plan for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum


class StudyState(StrEnum):
    """Where a study is."""

    RECEIVING = "receiving"
    """instances arrive, or have arrived less than the quiet time ago"""
    SETTLED = "settled"
    """nothing new for the quiet time; waits to be planned"""
    PLANNED = "planned"
    """every series has a decision; its jobs exist"""


class StudyEvent(StrEnum):
    """What happens to a study."""

    INSTANCE = "instance"
    """a new instance is indexed"""
    QUIET = "quiet"
    """the quiet time is over"""
    PLAN = "plan"
    """the decisions and jobs are recorded"""
    RETRY = "retry"
    """a new plan is asked for: by an administrator, or because a job's version of a model was retired"""


STUDY = {
    (StudyState.RECEIVING, StudyEvent.INSTANCE): StudyState.RECEIVING,
    (StudyState.SETTLED, StudyEvent.INSTANCE): StudyState.RECEIVING,
    (StudyState.PLANNED, StudyEvent.INSTANCE): StudyState.RECEIVING,
    (StudyState.RECEIVING, StudyEvent.QUIET): StudyState.SETTLED,
    (StudyState.SETTLED, StudyEvent.PLAN): StudyState.PLANNED,
    (StudyState.SETTLED, StudyEvent.RETRY): StudyState.SETTLED,
    (StudyState.PLANNED, StudyEvent.RETRY): StudyState.SETTLED,
}


def settle_at(last_received_at: datetime, quiet_s: float) -> datetime:
    """When a study settles if nothing more arrives."""
    return last_received_at + timedelta(seconds=quiet_s)
