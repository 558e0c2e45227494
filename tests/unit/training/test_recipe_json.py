"""Recipes as they are kept, and what they have got since then."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from training import catalogue
from training.recipe_json import filled, recipe_as_json
from training.system import Recipe, Settings


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of several in a list; `late` came after some were kept."""

    steps: int
    late: bool = False


@dataclass(frozen=True, kw_only=True)
class Toy:
    """As far as JSON is concerned a recipe."""

    name: str = "toy"
    parts: tuple[Part, ...] = (Part(steps=1, late=True),)
    best: Part = field(default_factory=lambda: Part(steps=9))
    rate: float = 0.1
    settings: Settings = Settings()


def toy(**fields: Any) -> Recipe:
    return cast(Recipe, Toy(**fields))


def test_fields_that_came_later_are_filled_with_their_defaults_whatever_today_s_recipe_says() -> None:
    kept = {"name": "toy", "parts": [{"steps": 3}, {"steps": 4}], "settings": {"seed": 2}}
    today = toy(rate=0.5, best=Part(steps=5, late=True))
    assert filled(kept, today) == {
        "name": "toy",
        "parts": [{"steps": 3, "late": False}, {"steps": 4, "late": False}],
        "best": {"steps": 9, "late": False},
        "rate": 0.1,
        "settings": {"seed": 2, "precision": "float32", "average": 0.0},
    }


def test_what_was_kept_is_left_alone_and_what_has_no_default_stays_away() -> None:
    kept = {"name": "toy", "parts": [{"late": True}], "rate": 0.7, "once": 1}
    full = filled(kept, toy())
    assert (full["parts"], full["rate"], full["once"]) == ([{"late": True}], 0.7, 1)


@pytest.mark.parametrize("name", ["hr_mpf_cpu", "jnsc_cpu", "dsnet_cpu", "mt_net_cpu", "detection_guided_cpu"])
def test_a_recipe_that_was_kept_whole_needs_nothing(name: str) -> None:
    recipe = catalogue.recipe(name)
    content = recipe_as_json(recipe)
    assert content["name"] == name
    assert set(content) == {field.name for field in dataclasses.fields(cast(Any, recipe))}
    assert filled(content, recipe) == content
