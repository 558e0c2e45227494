"""Who works on what: the token of a lease names its process, so that the leases of a dead process end at once.

Called from the steps that claim a row and from `steps.sweep`.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from pacs_node import log
from pacs_node.archive.queries import machine
from pacs_node.errors import DatabaseUnavailable
from pacs_node.node import Node


def new_holder() -> str:
    """A token that nobody else has: machine, process and a random number."""
    return f"{_machine()}/{os.getpid()}.{_started(os.getpid())}/{uuid.uuid4().hex}"


def is_dead(holder: str) -> bool:
    """Whether the process of this token ran on this machine and is gone; False where that cannot be told."""
    where, _, process = holder.rpartition("/")[0].rpartition("/")
    pid, _, started = process.partition(".")
    return where == _machine() and pid.isdecimal() and _started(int(pid)) != started


@contextmanager
def kept(node: Node, states: machine.Machine, row_id: int, holder: str) -> Iterator[None]:
    """Renew the lease of a row in the background until the block ends."""
    stop = threading.Event()
    period_s = node.config.work.lease_s / 3

    def heartbeat() -> None:
        while not stop.wait(period_s):
            until = node.now() + timedelta(seconds=node.config.work.lease_s)
            try:
                with node.database.transaction() as tx:
                    machine.renew(tx, states, row_id, holder, until)
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


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot (proc(5), field 22); empty if it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
