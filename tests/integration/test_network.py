"""The Ethernet of the benchmarks carries what is sent, and is gone afterwards, however it ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.network import LOOPBACK, Network, ethernet
from tests.support.peers import await_echo, storescp


def remains_of(network: Network) -> str:
    """What `ip` knows of its namespace and its devices."""
    listed = (["ip", "netns", "list"], ["ip", "-brief", "link"])
    lines = "".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in listed)
    tag = network.prefix[-1].removeprefix("pn-")
    return "\n".join(line for line in lines.splitlines() if tag in line)


@pytest.mark.services
def test_a_receiver_is_reached_in_its_namespace_and_nowhere_else(tmp_path: Path) -> None:
    with ethernet() as network, storescp(tmp_path, network=network) as peer:
        await_echo(peer)
        if network == LOOPBACK:  # nobody else may make a network
            return
        inside = [*network.prefix, "ip", "-brief", "address"]
        addresses = subprocess.run(inside, capture_output=True, text=True, check=True).stdout
        outside = subprocess.run(["ip", "-brief", "address"], capture_output=True, text=True, check=True).stdout
    assert (peer.host in addresses, peer.host in outside) == (True, False)


def test_nothing_is_left_of_it_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), ethernet() as network:
        assert network == LOOPBACK or remains_of(network)
        raise ZeroDivisionError
    assert network == LOOPBACK or remains_of(network) == ""


def test_without_the_program_it_is_the_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with ethernet() as network:
        assert network == LOOPBACK


def test_without_the_rights_it_is_the_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusing = tmp_path / "ip"
    refusing.write_text("#!/bin/sh\nexit 2\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with ethernet() as network:
        assert network == LOOPBACK
