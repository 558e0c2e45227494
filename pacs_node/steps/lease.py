"""Who works on what: the token of a lease names its process, so that the leases of a dead process end at once.

A dead process is told from a stopped node by the process that started it, the head of `node work`.
Where that one lives on, the worker ended by itself: memory ran out, a library crashed, or somebody shot at it alone.
That counts as a strike against what it worked on (`domain.retry`). Where the head is gone, too, the node was stopped,
restarted or killed as a whole, which is nobody's doing but an operator's, and costs no strike. Of processes of other
machines, and of those before this machine started, nothing is known: their leases run out, and cost no strike either.
All of these remain attempts, of which there are not endlessly many.

Called from the steps that claim a row and from `steps.sweep`.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from pacs_node import log
from pacs_node.archive.queries import machine
from pacs_node.domain.step import Step
from pacs_node.errors import DatabaseUnavailable, StepTimeout
from pacs_node.node import Node


class Fate(StrEnum):
    """What became of the process that holds a lease."""

    UNKNOWN = "lease.expired"
    """it works, or nothing is known of it until its lease runs out"""
    STOPPED = "worker.stopped"
    """it is gone together with the process that started it"""
    ENDED = "worker.ended"
    """it is gone, and the process that started it lives on"""


def new_holder() -> str:
    """A token that nobody else has: machine, this process, the one that started it, and a random number."""
    return f"{_machine()}/{_named(os.getpid())}/{_named(os.getppid())}/{uuid.uuid4().hex}"


def is_of_this_machine(holder: str) -> bool:
    """Whether the process of this token runs, or ran, on this machine."""
    return holder.rpartition("/")[0].rsplit("/", 2)[0] == _machine()


def fate_of(holder: str) -> Fate:
    """What became of the process of this token, as far as it can be told on this machine."""
    where, *processes = holder.rpartition("/")[0].rsplit("/", 2)
    if where != _machine() or len(processes) != 2 or _is_alive(processes[0]):
        return Fate.UNKNOWN
    return Fate.ENDED if _is_alive(processes[1]) else Fate.STOPPED


@contextmanager
def kept(
    node: Node, step: Step, states: machine.Machine, row_id: int, holder: str, give_up: Callable[[StepTimeout], None]
) -> Iterator[None]:
    """Renew the lease of a row in the background until the block ends, or its time does.

    A worker whose lease is lost works on what is somebody else's, and one whose time is up may hang for ever in code
    that cannot be interrupted. Both end with their process (`Node.abandon`).

    Parameters
    ----------
    step : what the time is for
    give_up : records that the time is up
    """
    stop = threading.Event()
    period_s, limit_s = node.config.work.lease_s / 3, node.config.limits.of(step)
    ends_at = time.monotonic() + limit_s

    def pause_s() -> float:
        remaining_s = ends_at - time.monotonic()
        return min(period_s, remaining_s) if remaining_s > 0 else period_s

    def is_mine() -> bool:
        if time.monotonic() >= ends_at:
            give_up(StepTimeout(f"the step {step} ran out of time: it took longer than {limit_s:g} s"))
            return False
        until = node.now() + timedelta(seconds=node.config.work.lease_s)
        with node.database.transaction() as tx:
            return machine.renew(tx, states, row_id, holder, until)

    def heartbeat() -> None:
        while not stop.wait(pause_s()):
            try:
                if not is_mine():
                    log.event("step_abandoned", step=step, **{states.key: row_id})
                    node.abandon()
                    return
            except DatabaseUnavailable as error:
                log.event("lease_not_renewed", code=error.code)

    thread = threading.Thread(target=heartbeat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return "unknown-" + uuid.uuid4().hex
    return f"{boot.read_text().strip()}-{Path('/proc/self/ns/pid').stat().st_ino}"


def _named(pid: int) -> str:
    """A process by its number and the time of its start, because numbers are used again."""
    return f"{pid}.{_started(pid)}"


def _is_alive(name: str) -> bool:
    pid, _, started = name.partition(".")
    return not pid.isdecimal() or _started(int(pid)) == started


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot (proc(5), field 22); empty if it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
