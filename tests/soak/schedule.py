"""What goes wrong when, and what senders do: drawn from a seed, so that a run can be repeated. Pure.

Each stream of faults has a sequence of its own, so that a full disk, a kill and a dead PACS may well come together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TypeVar

T = TypeVar("T", bound=StrEnum)
Span = tuple[float, float]
NOW: Span = (0, 0)


class Stream(StrEnum):
    """Faults that exclude each other."""

    KILLS = "kills"
    DISK = "disk"
    PACS = "PACS"
    SECOND = "second PACS"


class Kind(StrEnum):
    """What goes wrong."""

    SERVE_KILLED = "serve killed"
    WORKERS_KILLED = "all workers killed"
    WORKER_KILLED = "one worker killed"
    HEAD_KILLED = "head killed"
    NODE_KILLED = "everything killed"
    TRITON_KILLED = "Triton killed"
    TRITON_STOPPED = "Triton stopped"
    MODEL_KILLED = "a model in Triton killed"
    DISK_LOW = "disk below the watermark"
    DISK_FULL = "disk without a byte"
    DEAD = "dead"
    SILENT = "silent"
    REFUSING = "refusing"
    SLOW = "slow"
    ABORTING = "aborting"
    FORGETFUL = "losing the answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault; `at_s` since the begin of the run."""

    stream: Stream
    kind: Kind
    at_s: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Habitat:
    """How often a stream has a fault, and of which kinds: the weight and the duration of each."""

    gap_s: Span
    kinds: Mapping[Kind, tuple[float, Span]]


STREAMS: Mapping[Stream, Habitat] = {
    Stream.KILLS: Habitat(
        gap_s=(20, 70),
        kinds={
            Kind.SERVE_KILLED: (3, NOW),
            Kind.WORKERS_KILLED: (2, NOW),
            Kind.WORKER_KILLED: (3, NOW),
            Kind.HEAD_KILLED: (1, NOW),
            Kind.NODE_KILLED: (2, NOW),
            Kind.TRITON_KILLED: (2, NOW),
            Kind.TRITON_STOPPED: (1, (5, 90)),
            Kind.MODEL_KILLED: (1, NOW),
        },
    ),
    Stream.DISK: Habitat(
        gap_s=(60, 240),
        kinds={Kind.DISK_LOW: (2, (5, 40)), Kind.DISK_FULL: (2, (3, 15))},
    ),
    Stream.PACS: Habitat(
        gap_s=(90, 300),
        kinds={Kind.DEAD: (2, (10, 40)), Kind.SILENT: (1, (10, 40))},
    ),
    Stream.SECOND: Habitat(
        gap_s=(40, 150),
        kinds=dict.fromkeys((Kind.DEAD, Kind.SILENT, Kind.REFUSING, Kind.SLOW), (1, (10, 60)))
        | dict.fromkeys((Kind.ABORTING, Kind.FORGETFUL), (2, (10, 40))),
    ),
}


class Habit(StrEnum):
    """What a sender does with its next study."""

    WHOLE = "whole study"
    BURST = "burst of studies"
    TWICE = "same study twice"
    CONFLICT = "other content under a known UID"
    BREAKS_OFF = "abort in the middle"
    LATE = "late slices"
    HOSTILE = "hostile instances"
    PACKETS = "hostile packets"
    PROBES = "port probes"
    RETURNS = "results that come back"


HABITS: Mapping[Habit, float] = {
    Habit.WHOLE: 4,
    Habit.BURST: 1,
    Habit.TWICE: 2,
    Habit.CONFLICT: 2,
    Habit.BREAKS_OFF: 3,
    Habit.LATE: 2,
    Habit.HOSTILE: 1,
    Habit.PACKETS: 1,
    Habit.PROBES: 1,
    Habit.RETURNS: 1,
}


def faults_of(seed: int, length_s: float, stream: Stream) -> tuple[Fault, ...]:
    """The faults of one stream, in order; each is over before the next begins and before the run ends."""
    rng, habitat = Random(f"{seed} {stream}"), STREAMS[stream]
    faults: list[Fault] = []
    at_s = rng.uniform(*habitat.gap_s)
    while at_s < length_s:
        kind = drawn(rng, {kind: weight for kind, (weight, _) in habitat.kinds.items()})
        duration_s = min(rng.uniform(*habitat.kinds[kind][1]), length_s - at_s)
        faults.append(Fault(stream=stream, kind=kind, at_s=at_s, duration_s=duration_s))
        at_s += duration_s + rng.uniform(*habitat.gap_s)
    return tuple(faults)


def drawn(rng: Random, weights: Mapping[T, float]) -> T:
    """One of these, the heavier the likelier."""
    return rng.choices(list(weights), list(weights.values()))[0]
