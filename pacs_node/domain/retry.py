"""When to try again: the only table from (kind of work, attempt) to a delay; the caller brings the random number."""

from __future__ import annotations

from dataclasses import dataclass


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


ANALYSE = Backoff(first_s=2, factor=3, longest_s=300, attempts=7)
"""Triton restarts within seconds to minutes; seven attempts span 4.5 to 9 minutes."""
COMPOSE = Backoff(first_s=2, factor=3, longest_s=60, attempts=4)
"""Only a full disk or a locked database delays composing."""
DELIVER = Backoff(first_s=5, factor=2, longest_s=1800, attempts=300)
"""A PACS may be down for a weekend: three hundred attempts, most of them half an hour apart, span 3 to 6 days."""


def delay_s(policy: Backoff, attempt: int, random: float) -> float | None:
    """Seconds until the next attempt, or None if there is none.

    Parameters
    ----------
    policy : the table row
    attempt : number of attempts so far, from 1
    random : uniform in [0, 1); spreads the delay over its upper half
    """
    if attempt >= policy.attempts:
        return None
    longest = min(policy.longest_s, policy.first_s * policy.factor ** (attempt - 1))
    return longest * (0.5 + 0.5 * random)
