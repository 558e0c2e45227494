"""What a site needs, from what one study costs: a day of arrivals through queues in a row, simulated.

Pure and seeded. Every stage serves first come, first served, and takes the same time for every study; that is enough to
see which stage breaks first. Called by `tests.benchmarks.report`.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]

DAY_S = 86_400.0
BUSY_HOURS = (8, 18)
BUSY_SHARE = 0.8
"""Of the studies of a day, in the busy hours; within both parts they come at random."""

TARGET_S = 600.0
"""The 95th percentile of the time from the last slice to the delivered result may not be longer."""

MOST_BUSY = 0.8
"""Of its time in the busy hours a stage may be at work; beyond, queues grow with every bad minute."""

SITES = {"hospital": 500, "region": 20_000, "screening programme": 1_000_000}
"""Chest CTs in a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of every study; `seconds` of one server."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a site needs.

    Parameters
    ----------
    servers : of each stage, in their order
    busy : share of the busy hours that each stage is at work
    p95_s : 95th percentile of the time from the last slice to the result
    """

    studies: int
    stages: tuple[Stage, ...]
    servers: tuple[int, ...]
    busy: tuple[float, ...]
    p95_s: float

    @property
    def breaks_first(self) -> Stage:
        """The stage with the least room to grow."""
        return max(zip(self.busy, self.stages, strict=True), key=lambda item: item[0])[1]


def peak_per_s(studies: int) -> float:
    """Studies a second in the busy hours."""
    return studies * BUSY_SHARE / ((BUSY_HOURS[1] - BUSY_HOURS[0]) * 3600)


def arrivals(studies: int, seed: int = 1) -> Times:
    """When the studies of a day are complete, in seconds, ascending."""
    random = np.random.default_rng(seed)
    begin, end = (hour * 3600.0 for hour in BUSY_HOURS)
    busy = random.uniform(begin, end, round(BUSY_SHARE * studies))
    quiet = random.uniform(0, DAY_S - (end - begin), studies - len(busy))
    quiet[quiet >= begin] += end - begin
    return np.sort(np.concatenate([busy, quiet]))


def served(ready: Times, stage: Stage, servers: int) -> Times:
    """When a stage has done what is ready at these times (ascending); the result is ascending, too."""
    free = [0.0] * servers
    done = np.empty_like(ready)
    for number, at in enumerate(ready.tolist()):
        ends = max(at, free[0]) + stage.seconds
        heapq.heapreplace(free, ends)
        done[number] = ends
    return done


def planned(studies: int, stages: tuple[Stage, ...], target_s: float = TARGET_S) -> Plan:
    """The fewest servers of each stage with which none is too busy and the results are there in time.

    Raises
    ------
    ValueError : a study alone takes longer than that
    """
    if sum(stage.seconds for stage in stages) >= target_s:
        raise ValueError("no number of servers makes a single study quick enough")
    rate = peak_per_s(studies)
    servers = [max(1, math.ceil(rate * stage.seconds / MOST_BUSY)) for stage in stages]
    while True:
        busy = [rate * stage.seconds / count for stage, count in zip(stages, servers, strict=True)]
        p95_s = _p95_s(studies, stages, servers)
        if p95_s <= target_s:
            return Plan(studies=studies, stages=stages, servers=tuple(servers), busy=tuple(busy), p95_s=p95_s)
        busiest = busy.index(max(busy))
        servers[busiest] += max(1, servers[busiest] // 20)


def _p95_s(studies: int, stages: tuple[Stage, ...], servers: list[int]) -> float:
    come = arrivals(studies)
    ready = come
    for stage, count in zip(stages, servers, strict=True):
        ready = served(ready, stage, count)
    return float(np.percentile(ready - come, 95))
