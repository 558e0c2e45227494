"""Starting beside a database that is not there yet, as after a power cut: wait for it, and say so."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from pacs_node import log
from pacs_node.errors import DatabaseUnavailable

T = TypeVar("T")

ASK_AGAIN_S = 5.0


def awaited(begin: Callable[[], T], stop: threading.Event, every_s: float = ASK_AGAIN_S) -> T:
    """What `begin` returns as soon as the database lets it; for ever, because senders come back and operators look.

    Raises
    ------
    DatabaseUnavailable : `stop` was set before
    """
    is_told = False
    while True:
        try:
            return begin()
        except DatabaseUnavailable as error:
            log.event("database_awaited", level=logging.WARNING, code=error.code, next_s=every_s)
            if not is_told:
                sys.stderr.write(f"pulmonode: {error} [{error.code}]; waiting for it\n")
                is_told = True
            if stop.wait(every_s):
                raise
