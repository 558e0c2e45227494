"""Which nodule of an earlier result a finding is: it keeps its Tracking UID when a newer result takes its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """A finding as far as it can be told from others: where it is, how large, and its Tracking UID ("" without)."""

    centre_lps: tuple[float, float, float]
    diameter_mm: float
    tracking_uid: str = ""


def tracked(before: Sequence[Nodule], now: Sequence[Nodule]) -> tuple[str, ...]:
    """The Tracking UIDs that findings take over from an earlier result in the same space.

    Two are the same if the centre of one lies inside the other: closer than the radius of the larger. The closest pairs
    are matched first, and each nodule once.

    Returns
    -------
    one for each of `now`, in their order; "" for a nodule that is new
    """
    pairs = sorted(
        (math.dist(old.centre_lps, new.centre_lps), i, j)
        for i, old in enumerate(before)
        for j, new in enumerate(now)
        if math.dist(old.centre_lps, new.centre_lps) < max(old.diameter_mm, new.diameter_mm) / 2.0
    )
    taken: dict[int, int] = {}
    for _, i, j in pairs:
        if i not in taken.values() and j not in taken:
            taken[j] = i
    return tuple(before[taken[j]].tracking_uid if j in taken else "" for j in range(len(now)))
