"""The model card says what the contract of the served model says, to the digit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CARD = (ROOT / "deploy/docs/model-card.md").read_text(encoding="utf-8")
CONTRACT = json.loads((ROOT / "model_repository/jnsc/1/contract.json").read_text(encoding="utf-8"))
FIGURES = {
    (side, name): value
    for side in ("real", "synthetic")
    for name, value in CONTRACT["evaluation"][side].items()
    if isinstance(value, dict) and "interval_95" in value
}


@pytest.mark.parametrize(("side", "name"), FIGURES, ids=lambda part: str(part))
def test_every_figure_stands_in_the_card_with_its_interval(side: str, name: str) -> None:
    assert f"| {name} | {shown(FIGURES[side, name])} |" in CARD


def test_the_card_names_the_file_that_is_served() -> None:
    assert CONTRACT["sha256"] in CARD


def test_the_card_says_what_series_the_model_may_be_used_on() -> None:
    low, high = CONTRACT["limits"]["slice_thickness_mm"]
    assert f"slices of {low} to {high} mm" in CARD


def shown(figure: dict[str, Any]) -> str:
    """A figure with its 95 % interval, as the card has it."""
    low, high = figure["interval_95"]
    return f"{figure['value']:.3f} ({low:.3f} to {high:.3f})"
