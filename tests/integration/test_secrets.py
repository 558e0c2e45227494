"""No secret in what commands print, in logs at DEBUG, in errors, or in the list of processes: canaries are secrets."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer
from typer.testing import CliRunner

from pacs_node.cli import command_line
from pacs_node.demo.pacs import free_port
from tests.support.certificates import Authority, encrypted
from tests.support.nodes import clean_environment, eventually

CANARY = "CANARY"
BROKEN = """
[database]
url = "postgresql+psycopg://pulmonode:CANARYDATABASE@127.0.0.1:1/x?password=CANARYQUERY&connect_timeout=1"
"""
RUNNING = {"up", "serve", "work"}
"""Commands that do not end by themselves."""


def _commands(group: Any, *names: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, *names, name)
        elif name not in RUNNING | {"demo"}:
            yield (*names, name)


ARGUMENTS = {
    "study show": "1.2.3",
    "study retry": "1.2.3",
    "job show": "1",
    "job retry": "1",
    "destination probe": "web",
    "model publish": ".",
    "model promote": "jnsc",
    "model rollback": "jnsc",
    "rule explain": ".",
    "series analyse": ". --out results",
    "result check": ". .",
}
"""What a command has to be given; paths are a folder without DICOM."""
COMMANDS = list(_commands(typer.main.get_command(command_line())))


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with every secret there is; nothing answers at any of its addresses."""
    folder = tmp_path_factory.mktemp("secrets")
    authority = Authority(folder / "tls")
    locked = encrypted(authority.issue("node"), "CANARYPASSPHRASE")
    (folder / "token").write_text("Bearer CANARYTOKEN")
    tls = f'certificate = "{locked.certificate}"\nkey = "{locked.key}"\nkey_passphrase = "CANARYPASSPHRASE"'
    path = folder / "node.toml"
    path.write_text(f"""
data = "{folder / "data"}"
[scp]
host = "127.0.0.1"
port = {free_port()}
[scp.tls]
{tls}
authorities = "{authority.certificate}"
[queue]
broker_url = "memory://pulmonode:CANARYBROKER@127.0.0.1:1//"
[triton]
mode = "server"
url = "127.0.0.1:1"
control_header = "name:CANARYHEADER"
deadline_s = 1
[log]
level = "DEBUG"
[[rule]]
name = "all"
destinations = ["web", "peer"]
[[destination]]
name = "web"
url = "https://127.0.0.1:1/"
authorization_file = "{folder / "token"}"
[[destination]]
name = "peer"
ae_title = "PEER"
host = "127.0.0.1"
port = 1
[destination.tls]
{tls}
""")
    return path


@pytest.mark.parametrize("is_broken", [False, True], ids=["works", "all down"])
@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_no_command_tells_a_secret(
    configured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], is_broken: bool
) -> None:
    path = tmp_path / "node.toml"
    path.write_text(configured.read_text() + (BROKEN if is_broken else ""))
    monkeypatch.setenv("PULMONODE_CONFIG", str(path))
    monkeypatch.setenv("COLUMNS", "300")
    if is_broken:
        monkeypatch.setenv("PULMONODE_QUEUE__BROKER_URL", "amqp://pulmonode:CANARYBROKER@127.0.0.1:1//")
    monkeypatch.chdir(tmp_path)
    arguments = ARGUMENTS.get(" ".join(names), "").split()
    done = CliRunner().invoke(command_line([names[0]]), [*names, *arguments])
    assert done.exit_code != 2, done.output
    failure = "".join(traceback.format_exception(done.exception)) if done.exception else ""
    assert CANARY not in done.output
    assert CANARY not in failure


def test_the_configuration_shows_that_secrets_are_set(configured: Path) -> None:
    """Else nothing above means anything."""
    shown = CliRunner().invoke(command_line(["config"]), ["config", "show", "--config", str(configured)]).output
    assert 'broker_url = "memory://pulmonode:***@127.0.0.1:1//"  # file' in shown
    assert 'authorization = "***"  # file: authorization_file' in shown
    assert shown.count('key_passphrase = "***"') == 2


def test_neither_the_log_nor_the_list_of_processes_has_a_secret(configured: Path, tmp_path: Path) -> None:
    environment = clean_environment() | {
        "PULMONODE_DATABASE__URL": f"sqlite:///{tmp_path / 'x.sqlite'}",
        "PULMONODE_DATA": str(tmp_path),
    }
    log = tmp_path / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "pacs_node", "node", "serve", "--config", str(configured)]
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        try:
            eventually(lambda: '"serving"' in log.read_text() or process.poll() is not None)
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            seen = [part for member in family for part in (*member.cmdline(), member.name())]
        finally:
            process.terminate()
            process.wait(20)
    assert '"serving"' in log.read_text()
    [trail] = (tmp_path / "audit").glob("*.jsonl")
    assert [json.loads(line)["kind"] for line in trail.read_text().splitlines()] == [
        "application started",
        "application stopped",
    ]
    hashes = (tmp_path / "audit/configuration.json").read_text()
    assert CANARY not in log.read_text() + trail.read_text() + hashes + " ".join(seen)
