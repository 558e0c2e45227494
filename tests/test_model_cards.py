"""Every model card is the one that its contracts make, to the digit."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.registry import ModelRepository
from training.cards import cards

ROOT = Path(__file__).parents[1]
MADE = cards(ROOT / "model_repository")
WRITTEN = ROOT / "deploy/docs/models"


@pytest.mark.parametrize("system", MADE)
def test_the_card_says_what_the_contracts_say(system: str) -> None:
    assert (WRITTEN / f"{system}.md").read_text(encoding="utf-8") == MADE[system], "run `pulmonode-train cards`"


def test_there_is_a_card_for_every_system_and_for_nothing_else() -> None:
    assert {path.stem for path in WRITTEN.glob("*.md")} == set(MADE)


@pytest.mark.parametrize("system", MADE)
def test_the_card_names_every_file_that_is_served_and_its_limits_of_use(system: str) -> None:
    card = MADE[system]
    assert "Research use only" in card and "What it is bad at" in card
    for contract in ModelRepository(ROOT / "model_repository").members(system):
        assert contract.sha256 in card
