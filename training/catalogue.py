"""All recipes by name, and what their names say to people. Called from `training.cli`."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module

from training.errors import NoSuchRecipe
from training.system import Recipe

SYSTEMS = ("hr_mpf", "mt_net", "detection_guided", "jnsc", "dsnet", "baselines")
"""Modules of `training.systems`; a system is imported when one of its recipes is asked for."""


def recipes(system: str) -> Mapping[str, Callable[[], Recipe]]:
    """The recipes of one system."""
    found: Mapping[str, Callable[[], Recipe]] = import_module(f"training.systems.{system}").RECIPES
    return found


def recipe(name: str) -> Recipe:
    """A recipe by its name.

    Raises
    ------
    NoSuchRecipe : names the ones that are spelt like it
    """
    own = next((system for system in SYSTEMS if name.startswith(system)), None)
    if own and name in recipes(own):
        return recipes(own)[name]()
    everything = {known: make for system in SYSTEMS for known, make in recipes(system).items()}
    if name not in everything:
        close = difflib.get_close_matches(name, everything, 3) or sorted(everything)
        raise NoSuchRecipe(f"there is no recipe {name!r}; did you mean {', '.join(close)}? `pulmonode-train recipes`")
    return everything[name]()


def purpose(make: Callable[[], Recipe]) -> str:
    """The first line of what a recipe says of itself."""
    return (inspect.getdoc(make) or "").partition("\n")[0]
