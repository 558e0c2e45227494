"""Tables of TOML and variables of the environment as frozen dataclasses: checked, with the place in every message.

What the settings are, and which values can work, is in `config`, which calls this. A setting whose field is made by
`secret` may also be given as `<name>_file`, the file that holds it; what it holds is in no message.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pacs_node.errors import ConfigInvalid

Settings = TypeVar("Settings")
_SECRET = "secret"
FILE = "_file"
"""What follows the name of a secret where a file holds it."""


def secret() -> Any:
    """The field of a setting that must not be shown; it is "" unless it is given."""
    return dataclasses.field(default="", repr=False, metadata={_SECRET: True})


def is_secret(field: dataclasses.Field[Any]) -> bool:
    """Whether a field was made by `secret`."""
    return bool(field.metadata.get(_SECRET))


def read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; raises ConfigInvalid."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigInvalid(f"{path}: {error.strerror}; name another file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path}: not TOML: {error}") from error


def override(raw: dict[str, Any], name: str, prefix: str, text: str) -> None:
    """Set what a variable of the environment names: <prefix>TABLE__KEY; raises ConfigInvalid."""
    *tables, key = name.removeprefix(prefix).lower().split("__")
    target = raw
    for table in tables:
        target = target.setdefault(table, {})
        if not isinstance(target, dict):
            raise ConfigInvalid(f"{name}: lists cannot be set from the environment; use the file")
    target[key] = text


def built(kind: type[Settings], raw: Any, where: str) -> Settings:
    """A dataclass from a table.

    Parameters
    ----------
    where : names the place in messages

    Raises
    ------
    ConfigInvalid : a key is unknown or missing, or a value has another type
    """
    if not isinstance(raw, dict):
        raise ConfigInvalid(f"{where}: expected a table")
    hints, fields = typing.get_type_hints(kind), dataclasses.fields(typing.cast(Any, kind))
    secrets = [field.name for field in fields if is_secret(field)]
    known = [*hints, *(name + FILE for name in secrets)]
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise ConfigInvalid(f"{where}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    values: dict[str, Any] = {name: _secret(raw, name, where) for name in secrets}
    plain = [key for key in raw if key in hints and key not in values]
    values |= {key: _value(hints[key], raw[key], f"{where}, {key}") for key in plain}
    missing = [
        f.name
        for f in fields
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING and f.name not in values
    ]
    if missing:
        raise ConfigInvalid(f"{where}: {', '.join(missing)} must be given")
    return kind(**values)


def _secret(raw: dict[str, Any], name: str, where: str) -> str:
    given, path = raw.get(name, ""), raw.get(name + FILE, "")
    if not isinstance(given, str) or not isinstance(path, str):
        raise ConfigInvalid(f"{where}, {name}: not a text")
    if given and path:
        raise ConfigInvalid(f"{where}: either {name} or {name}{FILE}")
    if not path:
        return given
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigInvalid(f"{where}, {name}{FILE}: {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigInvalid(f"{where}, {name}{FILE}: {path}: not text in UTF-8") from None


def _value(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _value(arguments[0], value, where)
    if dataclasses.is_dataclass(kind):
        return built(typing.cast(Any, kind), value, where)
    if origin is tuple:
        return _list(arguments, value, where)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise ConfigInvalid(f"{where}: expected a table")
        return {key: _scalar(arguments[1], item, f"{where}, {key}") for key, item in value.items()}
    return _scalar(kind, value, where)


def _list(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if arguments == (str, ...) and isinstance(value, str):
        value = [value]  # a list of one name may be written without brackets
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
