"""How the node speaks to PostgreSQL: with the server that takes writes, and never for longer than it will wait.

Servers fail over: the address stays and another server answers, or of several addresses another one takes writes. A
connection then hangs, breaks, or goes on with a server that only reads. Each of these ends in an error, and the
connection with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

Answer = TypeVar("Answer")

CONNECT_S = 5
"""For each address of the URL."""
READ_ONLY = "25006"
"""SQLSTATE of a write to a server that takes none (PostgreSQL, appendix A)."""


class Connection(psycopg.Connection[Any]):
    """A connection that is closed if its server does not answer in time: nobody will wait for that answer any more.

    The server itself cancels statements earlier than that; this is for one that is stopped, or for a proxy that has
    lost it. What has lost its network the keepalives find.
    """

    limit_s: float | None = None

    def wait(self, gen: PQGen[Answer], interval: float = 0.1, timeout: float | None = None) -> Answer:
        """As psycopg's own, which waits for ever; raises psycopg.OperationalError."""
        try:
            return super().wait(gen, interval, self.limit_s if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


def parameters(given: Mapping[str, Any], patience_s: float) -> dict[str, Any]:
    """Connection parameters of libpq, without those that the URL gives itself.

    Parameters
    ----------
    given : the URL's own
    patience_s : how long a statement waits for a lock; a statement may take twice as long, and a transaction whose
        client has gone keeps its locks four times as long
    """
    limits = {
        "lock_timeout": patience_s,
        "statement_timeout": 2 * patience_s,
        "idle_in_transaction_session_timeout": 4 * patience_s,
    }
    ours = {
        "connect_timeout": CONNECT_S,
        "target_session_attrs": "read-write",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,
        "options": " ".join(f"-c {name}={round(1000 * seconds)}" for name, seconds in limits.items()),
    }
    return {name: value for name, value in ours.items() if name not in given}
