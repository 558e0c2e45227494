"""How long a peer may take: when an association on which nothing completes is closed.

Every handshake and every whole message is progress; so is enough of a message that is still arriving, or a large
instance could not come over a slow link. Single bytes, and PDUs without content, are not. Called from `dimse.provider`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The limits.

    Parameters
    ----------
    handshake_s : from the connection to the accepted association
    idle_s : from any progress to the next
    slowest_bytes_per_s : of messages that are still arriving, on average over `idle_s`; the default is half of what an
        ISDN line carries
    """

    handshake_s: float = 25.0
    idle_s: float = 55.0
    slowest_bytes_per_s: int = 4096


class Watchdog:
    """Watches one connection.

    Parameters
    ----------
    now_s : the clock when the peer connected; only differences matter
    """

    def __init__(self, patience: Patience, now_s: float) -> None:
        self._idle_s = patience.idle_s
        self._enough_bytes = patience.idle_s * patience.slowest_bytes_per_s
        self._deadline_s = now_s + patience.handshake_s
        self._completed = self._received_bytes = 0

    def is_over(self, completed: int, received_bytes: int, now_s: float) -> bool:
        """Whether the connection has to be closed.

        Parameters
        ----------
        completed, received_bytes : handshakes and messages, and content of messages, since the peer connected
        now_s : the clock
        """
        if completed > self._completed or received_bytes - self._received_bytes >= self._enough_bytes:
            self._completed, self._received_bytes = completed, received_bytes
            self._deadline_s = now_s + self._idle_s
        return now_s >= self._deadline_s
