"""What stays of an evaluated run in the repository: `training/records/<recipe>.json`. Pure.

system, purpose         what was trained, and what the recipe said of itself
run, evaluation         the run's `run.json` and `evaluation.json`
labels, froc            its `labels.json` and `froc.json`, where there
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from training.results.figures import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that was evaluated.

    Parameters
    ----------
    system : module of `training.systems`
    purpose : what the recipe said of itself
    about, figures : its `run.json` and `evaluation.json`
    labels : its `labels.json`, where hard, soft and pseudo-labels were compared; else empty
    froc : its `froc.json`, where whole scans were searched; else empty
    """

    system: str
    purpose: str
    about: Figures
    figures: Figures
    labels: Figures = field(default_factory=dict)
    froc: Figures = field(default_factory=dict)

    @property
    def recipe(self) -> str:
        """Its name."""
        name: str = self.about["recipe"]["name"]
        return name

    @property
    def is_synthetic(self) -> bool:
        """Whether it was trained and measured on phantoms."""
        return bool((self.about.get("pack") or {}).get("synthetic"))


def as_text(run: Run) -> str:
    """A record as JSON. Each list is on one line, so that a record of hundreds of cases can be read."""
    content = {"system": run.system, "purpose": run.purpose, "run": run.about, "evaluation": run.figures}
    more = {"labels": run.labels, "froc": run.froc}
    return _text({**content, **{name: part for name, part in more.items() if part}}, "") + "\n"


def from_text(text: str) -> Run:
    """The run of a record."""
    content = json.loads(text)
    return Run(
        system=content["system"],
        purpose=content["purpose"],
        about=content["run"],
        figures=content["evaluation"],
        labels=content.get("labels", {}),
        froc=content.get("froc", {}),
    )


def differences(one: Figures, other: Figures) -> tuple[str, ...]:
    """The names of what two recipes, as JSON, differ in; parts of parts are joined by dots, lists compared whole.

    What only one of them has is said to be so: a recipe may have got it later, with what it was before as default.
    """
    return tuple(_names(one, other, ""))


def differing(run: Run, other: Run) -> tuple[str, ...]:
    """What two runs differ in beside their names: recipe, data and fold."""
    return differences(_made_from(run), _made_from(other))


def _made_from(run: Run) -> dict[str, Any]:
    return {**run.about["recipe"], "name": "", "data": run.about.get("data_sha256"), "fold": run.about.get("fold")}


def _names(one: Figures, other: Figures, prefix: str) -> Iterator[str]:
    for key in sorted({*one, *other}):
        left, right = one.get(key), other.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from _names(left, right, f"{prefix}{key}.")
        elif left != right:
            yield f"{prefix}{key}" if key in one and key in other else f"{prefix}{key} (only one has it)"


def _text(value: Any, indent: str) -> str:
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value)
    inner = f"{indent}  "
    rows = [f"{inner}{json.dumps(key)}: {_text(part, inner)}" for key, part in value.items()]
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
