"""Memory that all associations of one SCP share, for messages that are kept in memory. Called from `lane`.

A dataset of a C-STORE goes to the disk as it comes; that of any other message waits in memory until its service has it.
"""

from __future__ import annotations

import threading


class Budget:
    """Bytes that may still be taken.

    Parameters
    ----------
    maximum_bytes : of all associations together
    """

    def __init__(self, maximum_bytes: int) -> None:
        self.left_bytes = maximum_bytes
        self.lock = threading.Lock()


class Loan:
    """What one association holds of the budget: of the message that arrives, and of those that wait to be served."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._arriving_bytes = self._waiting_bytes = 0

    def has_taken(self, count: int) -> bool:
        """Take bytes for the message that arrives; False, and nothing is taken, if there are not so many."""
        with self._budget.lock:
            if count > self._budget.left_bytes:
                return False
            self._budget.left_bytes -= count
            self._arriving_bytes += count
            return True

    def complete(self) -> None:
        """The message has wholly arrived."""
        with self._budget.lock:
            self._waiting_bytes += self._arriving_bytes
            self._arriving_bytes = 0

    def repay(self) -> None:
        """Every message that waited has been served."""
        with self._budget.lock:
            self._budget.left_bytes += self._waiting_bytes
            self._waiting_bytes = 0

    def close(self) -> None:
        """Nothing will arrive any more."""
        self.complete()
        self.repay()
