"""The loop learns, and a run that was interrupted ends as one that was not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.torch_networks import a_bank
from training import trainer
from training.recipes import Phase, Recipe, jnsc_cpu, jnsc_paper_recipe, jnsc_smoke
from training.state import averaged


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _short() -> Recipe:
    phases = (Phase(steps=3, size=32, batch=1), Phase(steps=3, size=32, batch=1, classify=True))
    return dataclasses.replace(jnsc_smoke(), phases=phases, average=0.9)


def test_the_loss_falls_by_thirty_percent(tmp_path: Path) -> None:
    losses: list[float] = []
    trainer.fit(jnsc_smoke(), a_bank(), tmp_path, lambda _, parts: losses.append(parts["voxel"] + parts["dice"]))
    assert len(losses) == 90
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    recipe, bank = _short(), a_bank()
    whole = trainer.fit(recipe, bank, tmp_path / "whole", lambda *_: None)
    trainer.fit(recipe, bank, tmp_path / "parts", lambda *_: None, stop=4)
    resumed = trainer.fit(recipe, bank, tmp_path / "parts", lambda *_: None)
    assert resumed.step == whole.step == 6
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
        assert torch.equal(whole.average[name], resumed.average[name]), name


def test_the_average_lags_behind_the_weights(tmp_path: Path) -> None:
    recipe = _short()
    state = trainer.fit(recipe, a_bank(), tmp_path, lambda *_: None, stop=3)
    network, _ = averaged(recipe, state)
    assert not torch.equal(network.output.weight, state.network.output.weight)


def test_the_paper_s_learning_rate_falls_by_five_after_each_quarter() -> None:
    recipe = jnsc_paper_recipe()
    assert recipe.steps == 52_000
    rates = [trainer.learning_rate(recipe, step) for step in (0, 12_999, 13_000, 26_000, 51_999)]
    assert rates == pytest.approx([1e-3, 1e-3, 2e-4, 4e-5, 8e-6])


def test_the_served_recipe_s_learning_rate_rises_and_falls() -> None:
    recipe = jnsc_cpu()
    rates = [trainer.learning_rate(recipe, step) for step in (0, 49, recipe.steps // 2, recipe.steps - 1)]
    assert rates[0] == pytest.approx(recipe.learning_rate / 50, rel=1e-3)
    assert rates[1] == pytest.approx(recipe.learning_rate, rel=1e-2)
    assert rates[2] == pytest.approx(recipe.learning_rate / 2, rel=1e-2)
    assert rates[3] == pytest.approx(recipe.learning_rate * 0.02)
