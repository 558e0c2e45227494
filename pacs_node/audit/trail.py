"""The audit trail as the rest of the node sees it: `record` a message, and never mind what becomes of it.

In the process that receives, `Behind` takes the messages, so that no sender waits for the disk of the trail.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from pacs_node import log
from pacs_node.audit.message import Message, as_json
from pacs_node.audit.spool import Spool
from pacs_node.audit.syslog import Sender
from pacs_node.config import Config

MOST_WAITING = 100_000
"""Messages in memory while the disk cannot be written; about 50 MB."""
_RETRY_S = 1.0

Record = Callable[[Message], None]


class Trail:
    """The trail of a node, in a folder below its data."""

    def __init__(self, config: Config) -> None:
        self.folder = config.data / "audit"
        self.spool = Spool(self.folder, keep_bytes=config.audit.keep_bytes)
        self._settings = config.audit

    def record(self, message: Message) -> None:
        """Make a message durable; if the disk does not take it, the log says so."""
        try:
            self.spool.append([as_json(message)])
        except OSError:
            log.event("audit_not_written", level=logging.ERROR, count=1)

    def sending(self) -> Sender | None:
        """Send the trail to its receiver from now on, if it has one."""
        return Sender(self.spool, self._settings) if self._settings.syslog_host else None


class Behind:
    """Records messages in a thread of its own, in their order; what the disk refuses is tried again."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._waiting: deque[Message] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def record(self, message: Message) -> None:
        """Take a message; returns at once."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                log.event("audit_not_written", level=logging.ERROR, count=1)
                return
            self._waiting.append(message)
            self._changed.notify()

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits, and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while group := self._next_group():
            try:
                self._spool.append([as_json(message) for message in group])
            except OSError:
                log.event("audit_not_written", level=logging.ERROR, count=len(group))
                if self._is_closing:
                    return
                threading.Event().wait(_RETRY_S)
            else:
                with self._changed:
                    for _ in group:
                        self._waiting.popleft()

    def _next_group(self) -> list[Message]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            return list(self._waiting)
