"""The node's configuration: one TOML file over the defaults below, overridden by the environment.

`PULMONODE_SCP__PORT=104` overrides `port` in `[scp]`. Read once into frozen values; an unknown key is an error that
names the nearest known one. `deploy/node.example.toml` comments every key and is checked against this module by a test.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pacs_node.domain.identifiers import is_ae_title
from pacs_node.domain.rule import Rule
from pacs_node.errors import ConfigInvalid

ENVIRONMENT_PREFIX = "PULMONODE_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A calling AE title that may open associations, from any address if `addresses` is empty."""

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
    if origin is Mapping or origin is typing.get_origin(Mapping[str, float]):
        if not isinstance(value, dict):
            raise ConfigInvalid(f"{where}: expected a table")
        return {key: _scalar(arguments[1], item, f"{where}, {key}") for key, item in value.items()}
    return _scalar(kind, value, where)


def _list(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise ConfigInvalid(f"{where}: expected a list")
    if arguments[-1] is not Ellipsis and len(items) != len(arguments):
        raise ConfigInvalid(f"{where}: expected {len(arguments)} values")
    return tuple(_value(arguments[0], item, where) for item in items)


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
    names = [destination.name for destination in config.destination]
    checks = [
        (is_ae_title(config.scp.ae_title), "scp, ae_title: not an AE title (1 to 16 characters)"),
        (0 <= config.scp.port <= 65535, "scp, port: not a port"),
        (config.scp.maximum_pdu_bytes >= 4096, "scp, maximum_pdu_bytes: at least 4096"),
        (config.scp.maximum_associations >= 1, "scp, maximum_associations: at least 1"),
        (all(is_ae_title(c.ae_title) for c in config.scp.callers), "scp, callers: not an AE title"),
        (all(is_ae_title(d.ae_title) for d in config.destination), "destination: not an AE title"),
        (len(set(names)) == len(names), "destination: two have the same name"),
        (config.settle.quiet_s > 0, "settle, quiet_s: more than 0"),
        (config.triton.mode in ("embedded", "server", "onnx"), "triton, mode: embedded, server or onnx"),
        (
            config.report.sr_class in ("comprehensive3d", "comprehensive", "enhanced"),
            "report, sr_class: comprehensive3d, comprehensive or enhanced",
        ),
        (config.work.lease_s >= 1, "work, lease_s: at least 1"),
        (config.work.processes >= 1, "work, processes: at least 1"),
    ]
    for holds, message in checks:
        if not holds:
            raise ConfigInvalid(message)
    for rule in config.rule:
        for name in set(rule.destinations) - set(names):
            raise ConfigInvalid(f"rule {rule.name}: there is no destination {name!r}")
