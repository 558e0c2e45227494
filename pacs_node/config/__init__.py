"""The node's configuration: one TOML file over the defaults below, overridden by the environment.

`PULMONODE_SCP__PORT=104` overrides `port` in `[scp]`; secrets may lie in files of their own, `url_file` for `url`. Read
once into frozen values; an unknown key is an error that names the nearest known one. `deploy/node.example.toml` has
every key and is checked against `settings` by a test; `legality` says which values can work.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pacs_node.config.legality import validate
from pacs_node.config.settings import (
    Audit,
    Caller,
    Config,
    Database,
    Destination,
    Limits,
    Log,
    PeerTls,
    Query,
    Queue,
    Report,
    Retention,
    Scp,
    ScpTls,
    Settle,
    Tls,
    Triton,
    Work,
)
from pacs_node.parsing import built, override, read

__all__ = [
    "ENVIRONMENT_PREFIX",
    "Audit",
    "Caller",
    "Config",
    "Database",
    "Destination",
    "Limits",
    "Log",
    "PeerTls",
    "Query",
    "Queue",
    "Report",
    "Retention",
    "Scp",
    "ScpTls",
    "Settle",
    "Tls",
    "Triton",
    "Work",
    "load",
]

ENVIRONMENT_PREFIX = "PULMONODE_"


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Read the configuration.

    Parameters
    ----------
    path : a TOML file, or None for the defaults
    environment : variables that begin with `PULMONODE_` override the file

    Raises
    ------
    ConfigInvalid : the file cannot be read, a key is unknown, or a value is not allowed
    """
    raw = read(path) if path is not None else {}
    for name, text in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name != ENVIRONMENT_PREFIX + "CONFIG":
            override(raw, name, ENVIRONMENT_PREFIX, text)
    config = built(Config, raw, "the configuration")
    validate(config)
    return config
