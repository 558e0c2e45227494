"""The audit of the process that receives: it learns of events and receipts, and never holds them up."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from pacs_node import log
from pacs_node.audit.changes import changed
from pacs_node.audit.reporter import Reporter
from pacs_node.audit.trail import Behind, Trail
from pacs_node.config import Config
from pacs_node.domain.instance import Receipt
from pacs_node.domain.rate import RateLimit, Verdict
from pacs_node.domain.transfers import Transfers, transfer_of

QUIET_S = 15.0
"""A transfer from one peer is over when nothing of its study has come for that long."""
_REFUSALS_PER_MINUTE = 60
"""Of one address that are audited; whoever scans ports must not fill the disk."""


class Watch:
    """From `start` to `stop`; `clock` gives seconds."""

    def __init__(self, config: Config, reporter: Reporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._trail = Trail(config)
        self._behind = Behind(self._trail.spool)
        self._reporter = replace(reporter, record=self._behind.record)
        self._transfers = Transfers(QUIET_S)
        self._refusals = RateLimit(per_minute=_REFUSALS_PER_MINUTE, burst=_REFUSALS_PER_MINUTE)
        self._sender = self._trail.sending()

    def start(self) -> None:
        """Tell of the start, and of what was configured since the last."""
        self._reporter.started("serve")
        try:
            sections = changed(self._trail.folder, self._config)
        except OSError:
            log.event("audit_not_written", level=logging.ERROR, count=1)
        else:
            if sections:
                self._reporter.configured([name or "data, models" for name in sections])

    def stored(self, receipts: Iterable[Receipt]) -> None:
        """These instances are in the index."""
        for transfer in self._transfers.stored(map(transfer_of, receipts), self._clock()):
            self._reporter.receiving(transfer)

    def happened(self, name: str, values: Mapping[str, object]) -> None:
        """An event of the SCP; what is no refusal does not matter here."""
        is_refusal = name == "connection_refused" or values.get("outcome") == "rejected"
        address = str(values.get("address", ""))
        if is_refusal and self._refusals.judge(address, self._clock()) is Verdict.ADMITTED:
            code = str(values.get("code", "association.rejected"))
            self._reporter.refused(address, str(values.get("calling_ae_title", "")), code)

    def tick(self) -> None:
        """Tell of the transfers that are over."""
        for transfer in self._transfers.ended(self._clock()):
            self._reporter.received(transfer)

    def stop(self) -> None:
        """Tell of the end, and wait until the trail is on disk; what is not sent is sent after the next start."""
        for transfer in self._transfers.ended(math.inf):
            self._reporter.received(transfer)
        self._reporter.stopped("serve")
        self._behind.close()
        if self._sender is not None:
            self._sender.close()
