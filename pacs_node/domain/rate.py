"""How often an address may connect: a token bucket for each. Called from `dimse.scp` for every connection."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

TELL_AGAIN_S = 60.0
"""Refusals of one address are told of that often at most: whoever floods the port must not flood the log, too."""


class Verdict(StrEnum):
    """What to do with a connection."""

    ADMITTED = "admitted"
    REFUSED = "refused"
    REFUSED_AGAIN = "refused again"
    """as `REFUSED`, which was told of not long ago"""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_s: float
    told_s: float = float("-inf")


class RateLimit:
    """Counts connections by address; an IPv6 host has all addresses of its network of 64 bits (RFC 4291 section 2.5.4).

    Parameters
    ----------
    per_minute : connections that an address may open in the long run, more than 0
    burst : and at once after a pause, at least 1
    most_addresses : that are remembered; the one that has been quiet for longest is forgotten first, and begins anew
    """

    def __init__(self, *, per_minute: int, burst: int, most_addresses: int = 10_000) -> None:
        self._per_s = per_minute / 60
        self._burst = burst
        self._most = most_addresses
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Addresses that are remembered."""
        return len(self._buckets)

    def judge(self, address: str, now_s: float) -> Verdict:
        """Count a connection from this address; `now_s` is any clock that does not go back."""
        bucket = self._bucket(_network(address), now_s)
        bucket.tokens = min(bucket.tokens + (now_s - bucket.filled_s) * self._per_s, self._burst)
        bucket.filled_s = now_s
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return Verdict.ADMITTED
        if now_s - bucket.told_s < TELL_AGAIN_S:
            return Verdict.REFUSED_AGAIN
        bucket.told_s = now_s
        return Verdict.REFUSED

    def _bucket(self, network: str, now_s: float) -> _Bucket:
        bucket = self._buckets.get(network)
        if bucket is None:
            bucket = self._buckets[network] = _Bucket(self._burst, now_s)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(network)
        return bucket


def _network(address: str) -> str:
    host = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(host, ipaddress.IPv4Address):
        return str(host)
    if host.ipv4_mapped is not None:
        return str(host.ipv4_mapped)
    return str(ipaddress.ip_network((host, 64), strict=False))
