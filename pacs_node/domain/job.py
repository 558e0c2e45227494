"""The life of a job: one pipeline run on one series, and the result that comes of it."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    """waits to be analysed, perhaps until `next_at`"""
    RUNNING = "running"
    """is being analysed under a lease"""
    ANALYSED = "analysed"
    """findings, or the reasons why there are none, are recorded; waits to be composed"""
    COMPOSING = "composing"
    """SEG and SR are being written and checked under a lease"""
    DONE = "done"
    """the result is on disk, its deliveries exist"""
    FAILED = "failed"
    """no result could be made"""
    QUARANTINED = "quarantined"
    """it ended two workers; set aside, with a report that says so if one could be made, until somebody asks for it"""
    SUPERSEDED = "superseded"
    """late instances made a newer job before this one was done"""


class JobEvent(StrEnum):
    """What happens to a job."""

    START = "start"
    """a worker takes it"""
    FIND = "find"
    """the analysis succeeded"""
    REFUSE = "refuse"
    """there can be no findings; a report will say why"""
    COMPOSE = "compose"
    """a worker begins to write the result"""
    FINISH = "finish"
    """the result is on disk and checked"""
    DELAY = "delay"
    """a transient failure; try again later"""
    GIVE_WAY = "give-way"
    """a STAT study needs its worker"""
    EXPIRE = "expire"
    """the lease ran out, or its holder is dead"""
    FAIL = "fail"
    """a permanent failure"""
    SET_ASIDE = "set-aside"
    """it ends, and the reason is that it ended two workers"""
    SUPERSEDE = "supersede"
    """a newer job of the same study takes over"""
    RETRY = "retry"
    """an administrator asks for another run, or the study is again what the job was planned on"""
    DELETE = "delete"
    """retention deletes the files of its result"""


S, E = JobState, JobEvent

JOB = {
    (S.QUEUED, E.START): S.RUNNING,
    (S.QUEUED, E.SUPERSEDE): S.SUPERSEDED,
    (S.RUNNING, E.FIND): S.ANALYSED,
    (S.RUNNING, E.REFUSE): S.ANALYSED,
    (S.RUNNING, E.DELAY): S.QUEUED,
    (S.RUNNING, E.GIVE_WAY): S.QUEUED,
    (S.RUNNING, E.EXPIRE): S.QUEUED,
    (S.RUNNING, E.SUPERSEDE): S.SUPERSEDED,
    (S.ANALYSED, E.COMPOSE): S.COMPOSING,
    (S.ANALYSED, E.SUPERSEDE): S.SUPERSEDED,
    (S.COMPOSING, E.FINISH): S.DONE,
    (S.COMPOSING, E.DELAY): S.ANALYSED,
    (S.COMPOSING, E.EXPIRE): S.ANALYSED,
    (S.COMPOSING, E.FAIL): S.FAILED,
    (S.COMPOSING, E.SET_ASIDE): S.QUARANTINED,
    (S.COMPOSING, E.REFUSE): S.ANALYSED,
    (S.COMPOSING, E.SUPERSEDE): S.SUPERSEDED,
    (S.DONE, E.RETRY): S.QUEUED,
    (S.FAILED, E.RETRY): S.QUEUED,
    (S.QUARANTINED, E.RETRY): S.QUEUED,
    (S.SUPERSEDED, E.RETRY): S.QUEUED,
    (S.SUPERSEDED, E.REFUSE): S.ANALYSED,
    (S.DONE, E.DELETE): S.DONE,
    (S.FAILED, E.DELETE): S.FAILED,
    (S.QUARANTINED, E.DELETE): S.QUARANTINED,
    (S.SUPERSEDED, E.DELETE): S.SUPERSEDED,
}

LEASED = frozenset({S.RUNNING, S.COMPOSING})
"""States in which somebody works; each carries `lease_until` and the token of its holder."""

OPEN = frozenset({S.QUEUED, S.RUNNING, S.ANALYSED, S.COMPOSING})
"""States that a newer job supersedes."""

FINISHED = frozenset({S.DONE, S.QUARANTINED})
"""States in which the result is on disk, if `finished_at` says when it came there."""

ENDED = FINISHED | {S.FAILED}
"""States in which nobody works on a job any more, though a result is still delivered."""
