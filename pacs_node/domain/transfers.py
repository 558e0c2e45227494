"""Which transfers are going on: instances of one study from one peer, until the peer has been quiet for a while.

One transfer may take many associations, and one association may carry many studies. Called from `processes.watching`,
and from the steps that fetch or find instances themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pacs_node.domain.instance import Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Who sends which study, and how many of its instances have come."""

    calling_ae_title: str
    address: str
    study_instance_uid: str
    instances: int = 0


def transfer_of(receipt: Receipt) -> Transfer:
    """The transfer that an instance came with."""
    return Transfer(
        calling_ae_title=receipt.calling_ae_title,
        address=receipt.peer_address,
        study_instance_uid=receipt.study_instance_uid,
    )


class Transfers:
    """May be used from several threads; knows as many transfers as there are within `quiet_s`."""

    def __init__(self, quiet_s: float) -> None:
        self._quiet_s = quiet_s
        self._open: dict[Transfer, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def stored(self, instances: Iterable[Transfer], now_s: float) -> tuple[Transfer, ...]:
        """Count one instance for each of these; the transfers that begin with them."""
        begun = []
        with self._lock:
            for transfer in instances:
                if transfer not in self._open:
                    begun.append(transfer)
                self._open[transfer] = (self._open.get(transfer, (0, now_s))[0] + 1, now_s)
        return tuple(begun)

    def ended(self, now_s: float) -> tuple[Transfer, ...]:
        """The transfers that are over, each of them once; all of them if the clock is at infinity."""
        with self._lock:
            over = [key for key, (_, last_s) in self._open.items() if now_s - last_s >= self._quiet_s]
            return tuple(replace(key, instances=self._open.pop(key)[0]) for key in over)
