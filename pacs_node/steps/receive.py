"""Receive: an instance is checked, made durable, and handed to the index. The sender waits for the disk, not the index.

If the index cannot be written, receipts wait in memory. When too many wait, or the process ends, they are forgotten
there, and the files tell the index later (`steps.reindex`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

from pacs_node import log
from pacs_node.archive.files import FileDraft, InstanceFiles
from pacs_node.dimse import header
from pacs_node.domain.identifiers import SeriesUid, StudyUid, is_ae_title, is_uid
from pacs_node.domain.instance import Receipt, StoreOutcome, StoreRequest
from pacs_node.errors import InstanceMismatch, InstanceUnreadable

GROUP = 300
"""Receipts in one transaction; PostgreSQL and SQLite write 300 rows about as fast as ten."""
MOST_WAITING = 100_000
"""Receipts that wait while the index cannot be written; about 100 MB."""
RETRY_S = 1.0
GATHER_S = 0.2
"""How long the index waits for more after the first receipt; its transactions sync the same disk as the instances."""


class Receiver:
    """The inbox of the node.

    Parameters
    ----------
    files : where instances become durable; drafts of processes that died are removed from it
    record : indexes receipts; it may raise, and is called again then, and it must accept the same receipt twice
    now : UTC, aware
    catch_up : indexes what is on disk and was forgotten here; it may raise, and is called again then
    is_leaving : whether the file of an instance is about to be removed; it may raise NodeError
    most_waiting : more receipts than these are forgotten
    """

    def __init__(
        self,
        files: InstanceFiles,
        *,
        record: Callable[[tuple[Receipt, ...]], None],
        now: Callable[[], datetime],
        catch_up: Callable[[], object] = lambda: None,
        is_leaving: Callable[[Receipt], bool] = lambda stored: False,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._files = files
        self._now = now
        self._is_leaving = is_leaving
        self._recorder = _Recorder(record, catch_up, most_waiting)
        files.clean()

    def open(self, request: StoreRequest) -> InstanceDraft:
        """Begin one dataset.

        Raises
        ------
        InstanceMismatch : the command has no legal UIDs
        StorageFull, StorageFailed
        """
        uids = (request.sop_class_uid, request.sop_instance_uid, request.transfer_syntax_uid)
        if not all(map(is_uid, uids)):
            raise InstanceMismatch("the request has no legal SOP Class and Instance UID")
        if not is_ae_title(request.calling_ae_title):
            raise InstanceMismatch("the sender has no legal AE title")
        return InstanceDraft(self, request, self._files.draft(request))

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything received is in the index; whether it is."""
        return self._recorder.flush(timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        """Flush, and end the thread that records. Nothing may be received afterwards."""
        self._recorder.close(timeout_s)

    def finish(self, request: StoreRequest, draft: FileDraft) -> StoreOutcome:
        """Check a whole dataset, make it durable, and hand it to the index; for `InstanceDraft` only."""
        with draft.dataset() as dataset:
            found = header.scan(dataset, request.transfer_syntax_uid)
        if (found.sop_class_uid, found.sop_instance_uid) != (request.sop_class_uid, request.sop_instance_uid):
            raise InstanceMismatch
        if not (is_uid(found.study_instance_uid) and is_uid(found.series_instance_uid)):
            raise InstanceUnreadable
        study, series = StudyUid(found.study_instance_uid), SeriesUid(found.series_instance_uid)
        outcome, receipt = draft.commit(study, series, self._now(), self._is_leaving)
        self._recorder.put(receipt)  # of what was stored before, too: whoever stored it may have failed before this
        return outcome


class InstanceDraft:
    """One dataset while it is being received; made by `Receiver.open`."""

    def __init__(self, receiver: Receiver, request: StoreRequest, draft: FileDraft) -> None:
        self._receiver = receiver
        self._request = request
        self._draft = draft
        self.write = draft.write
        self.discard = draft.discard

    def commit(self) -> StoreOutcome:
        """Make it durable; raises as `domain.instance.Draft.commit`."""
        return self._receiver.finish(self._request, self._draft)


class _Recorder:
    """The thread that hands receipts to the index, in groups, in the order of their arrival."""

    def __init__(
        self, record: Callable[[tuple[Receipt, ...]], None], catch_up: Callable[[], object], most_waiting: int
    ) -> None:
        self._record = record
        self._catch_up = catch_up
        self._most_waiting = most_waiting
        self._waiting: deque[Receipt] = deque()
        self._forgotten = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_hurried = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def put(self, receipt: Receipt) -> None:
        with self._changed:
            if len(self._waiting) >= self._most_waiting:
                if not self._forgotten:
                    log.event("receipts_forgotten", level=logging.ERROR, count=len(self._waiting))
                self._forgotten += 1
                return
            self._waiting.append(receipt)
            if len(self._waiting) in (1, GROUP):
                self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            is_done = self._changed.wait_for(lambda: not self._waiting and not self._forgotten, timeout_s)
            self._is_hurried = False
            return is_done

    def close(self, timeout_s: float) -> None:
        self.flush(timeout_s)
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            is_done = self._has_recorded(group) if group else self._has_caught_up()
            if not is_done:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closing, RETRY_S)

    def _next_group(self) -> tuple[Receipt, ...] | None:
        """The receipts to record next; none of them if the files are to be asked; None at the end."""
        with self._changed:
            if self._forgotten and not self._waiting:
                return None if self._is_closing else ()
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            self._changed.wait_for(
                lambda: len(self._waiting) >= GROUP or self._is_hurried or self._is_closing, GATHER_S
            )
            if self._is_closing:
                return None
            return tuple(self._waiting[i] for i in range(min(GROUP, len(self._waiting))))

    def _has_recorded(self, group: tuple[Receipt, ...]) -> bool:
        started_s = time.monotonic()
        if not self._succeeds(lambda: self._record(group)):
            return False
        with self._changed:
            for _ in group:
                self._waiting.popleft()
            self._changed.notify_all()
        log.event("receipts_recorded", level=logging.DEBUG, count=len(group), duration_s=time.monotonic() - started_s)
        return True

    def _has_caught_up(self) -> bool:
        forgotten = self._forgotten  # what is forgotten while the files are read needs another reading
        if not self._succeeds(self._catch_up):
            return False
        with self._changed:
            self._forgotten -= forgotten
            self._changed.notify_all()
        return True

    def _succeeds(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it is, the instances are safe and receiving goes on
            log.event("receipts_wait", level=logging.ERROR, code=getattr(error, "code", type(error).__name__))
            return False
        return True
