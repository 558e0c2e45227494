"""An Ethernet between two ends of this machine, for what the loopback hides.

The loopback takes frames of 64 kB and acknowledges most of them at once. Here frames are as long as in a hospital (MTU
1500): a pair of virtual devices, one of them in a network namespace of its own, where the receivers run. Needs the
rights of root, and `ip` of iproute2.

    with ethernet() as network:
        with storescp(folder, network=network) as peer: ...
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Where receivers listen.

    Parameters
    ----------
    name : for people
    host : the address to listen at
    prefix : of the command that starts a receiver
    """

    name: str
    host: str
    prefix: tuple[str, ...] = ()


LOOPBACK = Network(name="loopback", host="127.0.0.1")


@contextmanager
def ethernet() -> Iterator[Network]:
    """A new Ethernet until the block ends; the loopback where none can be made."""
    tag = secrets.token_hex(4)
    space, inner, outer = f"pn-{tag}", f"pni-{tag}", f"pno-{tag}"
    third, fourth = secrets.randbelow(256), 4 * secrets.randbelow(64)
    here, there = (f"198.18.{third}.{fourth + end}" for end in (1, 2))  # of a range for benchmarks (RFC 2544)
    steps = (
        f"netns add {space}",
        f"link add {outer} type veth peer name {inner} netns {space}",
        f"address add {here}/30 dev {outer}",
        f"-n {space} address add {there}/30 dev {inner}",
        f"-n {space} link set lo up",
        f"-n {space} link set {inner} up",
        f"link set {outer} up",
    )
    try:
        is_made = all(map(_is_done, steps))
        network = Network(name="Ethernet", host=there, prefix=("ip", "netns", "exec", space))
        yield network if is_made else LOOPBACK
    finally:
        for step in (f"link delete {outer}", f"netns delete {space}"):
            _is_done(step)


def _is_done(step: str) -> bool:
    if shutil.which("ip") is None:
        return False
    return subprocess.run(["ip", *step.split()], capture_output=True, check=False).returncode == 0
