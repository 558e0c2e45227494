"""Recipes as JSON: as `run.json` and records keep them, and with what a recipe has got since then.

Called from `training.runs` and `training.cli`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from training.system import Recipe


def recipe_as_json(recipe: Recipe) -> dict[str, Any]:
    """All fields of a recipe, those of its parts included, as JSON would give them back."""
    content: dict[str, Any] = _plain(dataclasses.asdict(_record(recipe)))
    return content


def filled(content: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """A kept recipe with the fields that its class has got since then, each at its default.

    A field with a default is only ever added with what was done before as that default, so the kept recipe means the
    same with it. Fields without a default stay away.

    Parameters
    ----------
    content : what `recipe_as_json` gave once
    recipe : today's of the same name
    """
    return _filled(content, _record(recipe))


def _filled(content: Mapping[str, Any], today: Any) -> dict[str, Any]:
    full = dict(content)
    for field in dataclasses.fields(today):
        if field.name in content:
            full[field.name] = _part(content[field.name], getattr(today, field.name))
        elif field.default is not dataclasses.MISSING:
            full[field.name] = _plain(_as_record(field.default))
        elif field.default_factory is not dataclasses.MISSING:
            full[field.name] = _plain(_as_record(field.default_factory()))
    return full


def _part(content: Any, today: Any) -> Any:
    """A field's own parts; a list's entries are filled as the first one of today's list is."""
    if isinstance(content, Mapping) and dataclasses.is_dataclass(today):
        return _filled(content, today)
    is_list = isinstance(content, list) and isinstance(today, Sequence) and not isinstance(today, str)
    return [_part(one, today[0]) for one in content] if is_list and today else content


def _record(recipe: Recipe) -> Any:
    assert dataclasses.is_dataclass(recipe) and not isinstance(recipe, type), "recipes are frozen records"
    return recipe


def _as_record(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
