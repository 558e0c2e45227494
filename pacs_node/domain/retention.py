"""Retention: what of a study may be deleted now, what follows if there is no room, and why the rest is kept.

Instances and results are kept for a time each. Whatever the time and the disk, nothing goes that somebody works on or
waits for, or that a destination has not got. Called from `steps.retain`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pacs_node.domain.delivery import DeliveryState
from pacs_node.domain.identifiers import JobId, StudyId, StudyUid
from pacs_node.domain.job import ENDED, OPEN, JobState
from pacs_node.domain.rule import Reason
from pacs_node.domain.study import StudyState

DAY_S = 86_400.0


class Kind(StrEnum):
    """What is held of a study."""

    INSTANCES = "instances"
    """as received"""
    RESULTS = "results"
    """of all its jobs: documents and findings"""


class Cause(StrEnum):
    """Why a holding goes."""

    EXPIRED = "retention.expired"
    """its time is over"""
    PRESSURE = "retention.pressure"
    """the disk is fuller than its high watermark"""


WHY = {Cause.EXPIRED: "the time to keep it was over", Cause.PRESSURE: "the disk was fuller than its high watermark"}
"""The causes in words for people."""
ADVICE = "nothing more may be deleted: see `pulmonode retention plan`, help deliveries, shorten the times, or add room"
"""What to do if there is too little that may go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the configuration says.

    Parameters
    ----------
    instances_s, results_s : how long each is kept; infinite for ever
    promised_s : how long instances are kept at least that we have committed to
    by_rule_s : instead of the first two, by name of the rule
    committing : destinations that have to commit to results
    high_fraction, low_fraction : of the disk in use: deletion begins above the first and ends below the second
    """

    instances_s: float = math.inf
    results_s: float = math.inf
    promised_s: float = math.inf
    by_rule_s: Mapping[str, float] = dataclasses.field(default_factory=dict)
    committing: frozenset[str] = frozenset()
    high_fraction: float = 1.0
    low_fraction: float = 1.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing can ever be deleted."""
        times_s = (self.instances_s, self.results_s, *self.by_rule_s.values())
        return self.high_fraction >= 1 and all(map(math.isinf, times_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """The file system of the archive, as its users see it."""

    used_bytes: int
    available_bytes: int

    def excess_bytes(self, policy: Policy) -> int:
        """How much has to go: nothing up to the high watermark, above it all down to the low one."""
        whole = self.used_bytes + self.available_bytes
        if self.used_bytes <= policy.high_fraction * whole:
            return 0
        return math.ceil(self.used_bytes - policy.low_fraction * whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job of a study, with its deliveries by destination."""

    id: JobId
    rule: str
    state: JobState
    finished_at: datetime | None
    destinations: tuple[str, ...]
    deliveries: Mapping[str, DeliveryState]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFacts:
    """A study and what is held of it.

    Parameters
    ----------
    received_at : when the last instance arrived
    promised_at : when we last committed to an instance, None if to none
    result_keys : the files of its results
    """

    id: StudyId
    study_instance_uid: StudyUid
    state: StudyState
    received_at: datetime
    instance_count: int
    instance_bytes: int
    promised_at: datetime | None
    jobs: tuple[JobFacts, ...]
    result_keys: tuple[str, ...]
    result_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What is held of a study, and what becomes of it.

    Parameters
    ----------
    since : its age counts from then
    cause : why it goes; None if it is kept, for these reasons
    is_spare : nothing but its time keeps it, so it goes when there is no room
    """

    study_id: StudyId
    study_instance_uid: StudyUid
    kind: Kind
    files: int
    size_bytes: int
    since: datetime
    reasons: tuple[Reason, ...]
    cause: Cause | None = None
    is_spare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of everything, oldest study first, and how much too full the disk is even then."""

    holdings: tuple[Holding, ...]
    disk: DiskUse
    shortfall_bytes: int

    @property
    def leaving(self) -> tuple[Holding, ...]:
        """What goes."""
        return tuple(holding for holding in self.holdings if holding.cause is not None)


def plan(studies: Iterable[StudyFacts], policy: Policy, disk: DiskUse, now: datetime) -> Plan:
    """Decide about everything that is held.

    What has had its time goes; if that does not reach down to the low watermark, the oldest of what is spare goes, too.

    Parameters
    ----------
    studies : those that received something longest ago first
    """
    holdings = [holding for facts in studies for holding in holdings_of(facts, policy, now)]
    excess = disk.excess_bytes(policy) - sum(holding.size_bytes for holding in holdings if holding.cause is not None)
    for number, holding in enumerate(holdings):
        if excess > 0 and holding.is_spare:
            holdings[number] = dataclasses.replace(holding, cause=Cause.PRESSURE, reasons=())
            excess -= holding.size_bytes
    return Plan(holdings=tuple(holdings), disk=disk, shortfall_bytes=max(0, excess))


def holdings_of(facts: StudyFacts, policy: Policy, now: datetime) -> tuple[Holding, ...]:
    """Decide about what is held of one study, as long as there is room."""
    ties = tuple(_ties(facts, policy))
    holdings = []
    if facts.instance_count:
        holdings.append(_instances(facts, policy, now, ties))
    if facts.result_keys:
        holdings.append(_results(facts, policy, now, ties))
    return tuple(holdings)


def may_still_go(holding: Holding, now: Iterable[Holding]) -> bool:
    """Whether a holding may go that was to go when the plan was made, by what is decided about it now."""
    mine = [other for other in now if other.kind is holding.kind]
    return any(other.cause is not None or (holding.cause is Cause.PRESSURE and other.is_spare) for other in mine)


def _instances(facts: StudyFacts, policy: Policy, now: datetime, ties: tuple[Reason, ...]) -> Holding:
    held = Holding(
        study_id=facts.id,
        study_instance_uid=facts.study_instance_uid,
        kind=Kind.INSTANCES,
        files=facts.instance_count,
        size_bytes=facts.instance_bytes,
        since=facts.received_at,
        reasons=ties + tuple(_promises(facts, policy, now)),
    )
    return _decided(held, _keep_s(facts, policy, policy.instances_s), now)


def _results(facts: StudyFacts, policy: Policy, now: datetime, ties: tuple[Reason, ...]) -> Holding:
    held = Holding(
        study_id=facts.id,
        study_instance_uid=facts.study_instance_uid,
        kind=Kind.RESULTS,
        files=len(facts.result_keys),
        size_bytes=facts.result_bytes,
        since=max((job.finished_at for job in facts.jobs if job.finished_at is not None), default=facts.received_at),
        reasons=ties,
    )
    decided = _decided(held, _keep_s(facts, policy, policy.results_s), now)
    if decided.is_spare and not all(job.destinations for job in facts.jobs):
        text = "a result is here only, because its rule names no destination"
        only_here = Reason(code="result.only-here", text=text)
        return dataclasses.replace(decided, is_spare=False, reasons=(*decided.reasons, only_here))
    return decided


def _decided(held: Holding, keep_s: float, now: datetime) -> Holding:
    """What becomes of a holding that may go, unless it has reasons against it already, once its time is over."""
    is_over = (now - held.since).total_seconds() >= keep_s
    times = () if is_over else (Reason(code="retention.kept", text=_time(keep_s)),)
    return dataclasses.replace(
        held,
        cause=Cause.EXPIRED if is_over and not held.reasons else None,
        reasons=held.reasons + times,
        is_spare=not is_over and not held.reasons,
    )


def _time(keep_s: float) -> str:
    return "it is kept for ever" if math.isinf(keep_s) else f"it is kept for {keep_s / DAY_S:g} days"


def _keep_s(facts: StudyFacts, policy: Policy, default_s: float) -> float:
    """Of several rules the one that keeps it longest counts."""
    return max((policy.by_rule_s.get(job.rule, default_s) for job in facts.jobs), default=default_s)


def _ties(facts: StudyFacts, policy: Policy) -> Iterator[Reason]:
    """Why nothing of a study may go, whatever its age."""
    if facts.state not in (StudyState.PLANNED, StudyState.DELETED):
        text = f"the study is {facts.state}, and nothing goes before every series has a decision"
        yield Reason(code=f"study.{facts.state}", text=text)
    last = _last(facts.jobs)
    for job in facts.jobs:
        if job.state in OPEN:
            yield Reason(code=f"job.{job.state}", text=f"job {job.id} is not done")
        elif job in last and job.state is not JobState.DONE:
            text = f"job {job.id} is {job.state}: see `pulmonode job show {job.id}`, then retry it"
            yield Reason(code=f"job.{job.state}", text=text)
        yield from _debts(job, policy, is_last=job in last)


def _last(jobs: Iterable[JobFacts]) -> tuple[JobFacts, ...]:
    """The jobs that nothing has taken the place of: of each rule the last that ended."""
    ended = sorted((job for job in jobs if job.state in ENDED), key=lambda job: job.id)
    return tuple({job.rule: job for job in ended}.values())


_MOVING = frozenset({DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.ASKING})


def _debts(job: JobFacts, policy: Policy, *, is_last: bool) -> Iterator[Reason]:
    """What destinations are still owed: the last result of all of them, an earlier one only if it is on its way."""
    for name, state in job.deliveries.items():
        if state in _MOVING:
            yield Reason(code=f"delivery.{state}", text=f"the result of job {job.id} is on its way to {name}")
    if not is_last:
        return
    for name in job.destinations:
        state = job.deliveries.get(name, DeliveryState.FAILED)
        if state is DeliveryState.UNCOMMITTED or (state is DeliveryState.DELIVERED and name in policy.committing):
            text = (
                f"{name} has not committed to the result of job {job.id}; `pulmonode job retry {job.id}` sends it again"
            )
            yield Reason(code="delivery.uncommitted", text=text)
        elif state in (DeliveryState.FAILED, DeliveryState.SUPERSEDED):
            text = f"{name} has not got the result of job {job.id}; `pulmonode job retry {job.id}` sends it again"
            yield Reason(code=f"delivery.{state}", text=text)


def _promises(facts: StudyFacts, policy: Policy, now: datetime) -> Iterator[Reason]:
    if facts.promised_at is not None and (now - facts.promised_at).total_seconds() < policy.promised_s:
        text = f"a sender was promised that its instances are kept (storage commitment): {_time(policy.promised_s)}"
        yield Reason(code="instance.promised", text=text)
