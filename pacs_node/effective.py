"""The configuration in force as TOML: where each value is from, and no secret. Called from `pulmonode config show`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from pacs_node.config import ENVIRONMENT_PREFIX, Config
from pacs_node.parsing import FILE, is_secret

MASK = "***"
_USER_INFO = re.compile(r"(://[^:/?#@]*:).*@", re.DOTALL)
_QUERY = re.compile(r"([?&;][^=&;#]*=)[^&;#]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is laid over the defaults: the tables of a file, and the environment."""

    file: Mapping[str, Any]
    environment: Mapping[str, str]


def shown(config: Config, sources: Sources) -> str:
    """The configuration as TOML that can be loaded again, but for its secrets; each line says where it is from."""
    return "\n".join(_table(config, (), sources.file, sources)).strip() + "\n"


def sections(config: Config) -> dict[str, str]:
    """The same without comments, by the name of the table; what is in none is in the table ""."""
    nothing = Sources(file={}, environment={})
    found: dict[str, str] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        is_table = is_dataclass(value) or _is_list_of_tables(value)
        text = "\n".join(_entries(field, value, (), {}, nothing))
        name = field.name if is_table else ""
        found[name] = f"{found.get(name, '')}{text}\n"
    return found


def masked(text: str) -> str:
    """A secret as it may be shown: of an address only the password and what stands after "?" are secret."""
    if "://" not in text:
        return MASK if text else ""
    return _QUERY.sub(rf"\g<1>{MASK}", _USER_INFO.sub(rf"\g<1>{MASK}@", text))


def _table(settings: Any, place: tuple[str, ...], given: Any, sources: Sources) -> Iterator[str]:
    """First the values, then the tables inside: TOML wants it so."""
    entries = [(field, getattr(settings, field.name)) for field in fields(settings)]
    for is_inner in (False, True):
        for field, value in entries:
            if is_inner == (is_dataclass(value) or isinstance(value, Mapping) or _is_list_of_tables(value)):
                yield from _entries(field, value, place, given if isinstance(given, Mapping) else {}, sources)


def _entries(
    field: Field[Any], value: Any, place: tuple[str, ...], given: Mapping[str, Any], sources: Sources
) -> Iterator[str]:
    inner = (*place, field.name)
    if value is None:
        return
    if is_dataclass(value):
        yield from ("", f"[{'.'.join(inner)}]", *_table(value, inner, given.get(field.name), sources))
    elif _is_list_of_tables(value):
        tables = given.get(field.name) or []
        for number, item in enumerate(value):
            of_item = tables[number] if number < len(tables) else {}
            yield from ("", f"[[{'.'.join(inner)}]]", *_table(item, inner, of_item, sources))
    elif isinstance(value, Mapping):
        yield from ("", f"[{'.'.join(inner)}]") if value else ()
        yield from (f"{json.dumps(key, ensure_ascii=False)} = {_toml(item)}  # file" for key, item in value.items())
    else:
        text = masked(value) if is_secret(field) else value
        yield f"{field.name} = {_toml(text)}  # {_origin(field, inner, given, sources)}"


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and is_dataclass(value[0])


def _origin(field: Field[Any], place: tuple[str, ...], given: Mapping[str, Any], sources: Sources) -> str:
    variable = ENVIRONMENT_PREFIX + "__".join(place).upper()
    for name in (variable, variable + FILE.upper()):
        if sources.environment.get(name):
            return f"environment: {name}"
    if is_secret(field) and given.get(field.name + FILE):
        return f"file: {field.name}{FILE}"
    return "file" if field.name in given else "default"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(str(value), ensure_ascii=False) if isinstance(value, Path) else repr(value)
