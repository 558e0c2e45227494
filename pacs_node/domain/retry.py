"""When to try again: the only table from (kind of work, attempt) to a delay; the caller brings the random number.

An *attempt* is every time that a worker took a row. A *strike* is an attempt that cost a worker its process: it ended
in the middle of the step, or the step ran out of time. Attempts that fail by themselves are cheap and many, strikes are
dear and few.
"""

from __future__ import annotations

from dataclasses import dataclass

from pacs_node.errors import Quarantined, WorkerLost

STRIKES = 2
"""After so many a row is not tried again: once may be an accident, twice is its own doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential back-off with full jitter on its upper half.

    Parameters
    ----------
    first_s : delay after the first failure
    factor : growth per attempt
    longest_s : no delay is longer
    attempts : after so many failed attempts there is no other
    """

    first_s: float
    factor: float
    longest_s: float
    attempts: int


PLAN = Backoff(first_s=2, factor=3, longest_s=600, attempts=40)
"""What keeps a study from being planned is a disk or the model repository: forty attempts span 3 to 6 hours."""
ANALYSE = Backoff(first_s=2, factor=3, longest_s=300, attempts=7)
"""The models had answered when the attempt began; seven attempts span 4.5 to 9 minutes."""
COMPOSE = Backoff(first_s=2, factor=3, longest_s=60, attempts=4)
"""Models are not asked, and a disk that fails is waited for (`wait_s`): little else delays composing."""
DELIVER = Backoff(first_s=5, factor=2, longest_s=1800, attempts=300)
"""A PACS may be down for a weekend: three hundred attempts, most of them half an hour apart, span 3 to 6 days."""

CONFIRM = Backoff(first_s=30, factor=3, longest_s=3600, attempts=8)
"""A destination that has accepted a result is up: eight times, each with the time that it has for its answer."""
REPORT = Backoff(first_s=5, factor=3, longest_s=1800, attempts=60)
"""A sender that asked for commitment may be switched off over night: sixty attempts span 14 to 28 hours."""


def delay_s(policy: Backoff, attempt: int, random: float, strikes: int = 0) -> float | None:
    """Seconds until the next attempt, or None if there is none.

    Parameters
    ----------
    policy : the table row
    attempt : number of attempts so far, from 1
    random : uniform in [0, 1); spreads the delay over its upper half
    strikes : how many of the attempts cost a worker
    """
    if attempt >= policy.attempts or strikes >= STRIKES:
        return None
    longest = min(policy.longest_s, policy.first_s * policy.factor ** (attempt - 1))
    return longest * (0.5 + 0.5 * random)


def wait_s(age_s: float, random: float) -> float | None:
    """Seconds until an attempt is made again that failed for want of models or a disk, and therefore counts as none.

    Parameters
    ----------
    age_s : since they were first found wanting
    random : uniform in [0, 1); spreads the waiting over its upper half

    Returns
    -------
    a tenth of the age, between 5 s and 5 minutes; None after a day: then somebody has to be told
    """
    if age_s > 86400:
        return None
    return min(300.0, max(5.0, age_s / 10)) * (0.5 + 0.5 * random)


def check_worth(policy: Backoff, attempt: int, strikes: int) -> None:
    """See that the attempt that begins now is one of those that a row has.

    Raises
    ------
    Quarantined : it has cost two workers
    WorkerLost : so many attempts ended without a word, with the whole node or on another machine
    """
    if strikes >= STRIKES:
        raise Quarantined
    if attempt > policy.attempts:
        raise WorkerLost
