"""The node's configuration: one TOML file over the defaults below, overridden by the environment.

`PULMONODE_SCP__PORT=104` overrides `port` in `[scp]`. Read once into frozen values; an unknown key is an error that
names the nearest known one. `deploy/node.example.toml` comments every key and is checked against this module by a test.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pacs_node.domain.identifiers import is_ae_title
from pacs_node.domain.rule import Rule
from pacs_node.errors import ConfigInvalid

ENVIRONMENT_PREFIX = "PULMONODE_"
SR_CLASSES = ("comprehensive3d", "comprehensive", "enhanced")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LONGEST_NAME = 64
"""The database keeps no longer names of rules and destinations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A calling AE title that may open associations: from these addresses and networks, from anywhere without any."""

    ae_title: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scp:
    """`[scp]`: where and from whom the node receives."""

    ae_title: str = "PULMONODE"
    host: str = "0.0.0.0"
    port: int = 11112
    maximum_associations: int = 100
    maximum_pdu_bytes: int = 131072
    minimum_free_bytes: int = 1_000_000_000
    callers: tuple[Caller, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """`[settle]`: how long a study must be quiet; `calling` overrides it per calling AE title."""

    quiet_s: float = 30.0
    calling: Mapping[str, float] = field(default_factory=dict)

    def quiet_for(self, calling_ae_title: str) -> float:
        """The quiet time for studies of this sender, seconds."""
        return self.calling.get(calling_ae_title, self.quiet_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """`[[destination]]`: a peer AE that takes results."""

    name: str
    ae_title: str
    host: str
    port: int
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Triton:
    """`[triton]`: who runs the models.

    `mode`: "embedded" starts the server that comes with the node, "server" uses the one at `url`, "onnx" runs ONNX
    Runtime inside the worker.
    """

    mode: str = "embedded"
    url: str = "127.0.0.1:18001"
    deadline_s: float = 60.0
    threads: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """`[database]`: an SQLAlchemy URL; empty means SQLite in the data folder."""

    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """`[queue]`: a Celery broker URL; empty means a broker without a server, in the data folder."""

    broker_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """`[work]`: the workers and the sweep."""

    processes: int = 2
    lease_s: float = 60.0
    sweep_s: float = 0.5
    time_limit_s: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`[report]`: how results are written."""

    sr_class: str = "comprehensive3d"
    lungs: bool = False
    ohif_hydration: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """`[log]`: the level of the log on standard error."""

    level: str = "INFO"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration. Relative paths are relative to the working directory."""

    data: Path = Path("var")
    models: Path = Path("model_repository")
    scp: Scp = Scp()
    settle: Settle = Settle()
    rule: tuple[Rule, ...] = (Rule(name="chest-ct"),)
    destination: tuple[Destination, ...] = ()
    triton: Triton = Triton()
    database: Database = Database()
    queue: Queue = Queue()
    work: Work = Work()
    report: Report = Report()
    log: Log = Log()

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database.url or f"sqlite:///{(self.data / 'pulmonode.sqlite').resolve()}"

    @property
    def broker_url(self) -> str:
        """The Celery broker URL in force."""
        return self.queue.broker_url or "filesystem://"


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
    raw = _read(path) if path is not None else {}
    for name, text in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name != ENVIRONMENT_PREFIX + "CONFIG":
            _override(raw, name, text)
    config = typing.cast(Config, _built(Config, raw, "the configuration"))
    _validate(config)
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigInvalid(f"{path}: {error.strerror}; name another file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path}: not TOML: {error}") from error


def _override(raw: dict[str, Any], name: str, text: str) -> None:
    *tables, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
    target = raw
    for table in tables:
        target = target.setdefault(table, {})
        if not isinstance(target, dict):
            raise ConfigInvalid(f"{name}: lists cannot be set from the environment; use the file")
    target[key] = text


def _built(kind: Any, raw: Any, where: str) -> Any:
    if not isinstance(raw, dict):
        raise ConfigInvalid(f"{where}: expected a table")
    hints = typing.get_type_hints(kind)
    for key in raw:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            raise ConfigInvalid(f"{where}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    values = {key: _value(hints[key], value, f"{where}, {key}") for key, value in raw.items()}
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING and f.name not in values
    ]
    if missing:
        raise ConfigInvalid(f"{where}: {', '.join(missing)} must be given")
    return kind(**values)


def _value(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _value(arguments[0], value, where)
    if dataclasses.is_dataclass(kind):
        return _built(kind, value, where)
    if origin is tuple:
        return _list(arguments, value, where)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise ConfigInvalid(f"{where}: expected a table")
        return {key: _scalar(arguments[1], item, f"{where}, {key}") for key, item in value.items()}
    return _scalar(kind, value, where)


def _list(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ConfigInvalid(f"{where}: expected a list")
    if arguments[-1] is not Ellipsis and len(value) != len(arguments):
        raise ConfigInvalid(f"{where}: expected {len(arguments)} values")
    return tuple(_value(arguments[0], item, where) for item in value)


_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _scalar(kind: Any, value: Any, where: str) -> Any:
    wrong = ConfigInvalid(f"{where}: {value!r} is not {kind.__name__}")
    if kind is bool:
        if isinstance(value, str) and value.lower() in _WORDS:
            return _WORDS[value.lower()]
        if not isinstance(value, bool):
            raise wrong
        return value
    if (
        isinstance(value, bool)
        or not isinstance(value, str | int | float)
        or (kind is int and isinstance(value, float))
    ):
        raise wrong
    if kind in (str, Path) and not isinstance(value, str):
        raise wrong
    try:
        return kind(value)
    except ValueError:
        raise wrong from None


def _validate(config: Config) -> None:
    for holds, message in (*_receiving(config), *_sending(config), *_working(config)):
        if not holds:
            raise ConfigInvalid(message)


def _receiving(config: Config) -> Iterator[tuple[bool, str]]:
    scp, settle = config.scp, config.settle
    yield is_ae_title(scp.ae_title), "scp, ae_title: not an AE title (1 to 16 characters)"
    yield 0 <= scp.port <= 65535, "scp, port: not a port"
    yield scp.maximum_pdu_bytes >= 4096, "scp, maximum_pdu_bytes: at least 4096"
    yield scp.maximum_associations >= 1, "scp, maximum_associations: at least 1"
    for caller in scp.callers:
        yield is_ae_title(caller.ae_title), f"scp, callers: {caller.ae_title!r} is not an AE title"
        for address in caller.addresses:
            yield _is_network(address), f"scp, callers: {address!r} is neither an address nor a network"
    for name, quiet_s in (("quiet_s", settle.quiet_s), *settle.calling.items()):
        yield quiet_s > 0, f"settle, {name}: more than 0"


def _sending(config: Config) -> Iterator[tuple[bool, str]]:
    known = [destination.name for destination in config.destination]
    yield len(config.rule) > 0, "rule: at least one"
    rules = [rule.name for rule in config.rule]
    for kind, names in (("destination", known), ("rule", rules)):
        yield len(set(names)) == len(names), f"{kind}: two have the same name"
        for name in names:
            yield 1 <= len(name) <= LONGEST_NAME, f"{kind} {name!r}: names have 1 to {LONGEST_NAME} characters"
    for peer in config.destination:
        yield is_ae_title(peer.ae_title), f"destination {peer.name}: {peer.ae_title!r} is not an AE title"
        yield 1 <= peer.port <= 65535, f"destination {peer.name}, port: not a port"
        yield peer.timeout_s > 0, f"destination {peer.name}, timeout_s: more than 0"
    for rule in config.rule:
        for name in rule.destinations:
            yield name in known, f"rule {rule.name}: there is no destination {name!r}"


def _working(config: Config) -> Iterator[tuple[bool, str]]:
    triton, work = config.triton, config.work
    yield triton.mode in ("embedded", "server", "onnx"), "triton, mode: embedded, server or onnx"
    yield _is_host_and_port(triton.url), "triton, url: host:port, for example 127.0.0.1:18001"
    yield triton.deadline_s > 0, "triton, deadline_s: more than 0"
    yield triton.threads >= 1, "triton, threads: at least 1"
    yield work.processes >= 1, "work, processes: at least 1"
    yield work.lease_s >= 1, "work, lease_s: at least 1"
    yield work.sweep_s > 0, "work, sweep_s: more than 0"
    yield work.time_limit_s > 0, "work, time_limit_s: more than 0"
    yield config.report.sr_class in SR_CLASSES, f"report, sr_class: {', '.join(SR_CLASSES)}"
    yield config.log.level.upper() in LOG_LEVELS, f"log, level: {', '.join(LOG_LEVELS)}"


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_host_and_port(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return host != "" and port.isdecimal() and 1 <= int(port) <= 65535
