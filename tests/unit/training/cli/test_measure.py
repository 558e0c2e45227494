"""`evaluate` and `export` take the same weights of a run: those that a release stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.support.torch_slices import FakeSources, fake_sources
from training import catalogue, checkpoint, runs
from training.checkpoint import State
from training.cli.measure import trained
from training.errors import NotEvaluated

RECIPE = "hr_mpf_smoke"


def _state(folder: Path, own: FakeSources) -> State:
    recipe = catalogue.recipe(RECIPE)
    return checkpoint.load(recipe.system(own), recipe.settings.seed, folder)


def _run(folder: Path, own: FakeSources, steps: int) -> Path:
    """A run's folder as `fit` leaves it after so many steps."""
    (folder / runs.ABOUT).write_text(json.dumps({"recipe": {"name": RECIPE}}))
    state = _state(folder, own)
    state.step = steps
    checkpoint.save(state, folder)
    return folder


def test_what_is_measured_is_rounded_and_the_checkpoint_is_not(tmp_path: Path) -> None:
    own = fake_sources(4, 2)
    folder = _run(tmp_path, own, steps=3)
    exact = _state(folder, own).model.state_dict()
    _, _, model, steps = trained(folder, own)
    assert steps == 3
    large = {name: value for name, value in model.state_dict().items() if value.ndim > 1 and value.numel() >= 1_000}
    assert large
    for name, value in large.items():
        assert torch.equal(value, exact[name].half().float()), name
        assert not torch.equal(value, exact[name]), name
    assert all(torch.equal(value, exact[name]) for name, value in _state(folder, own).model.state_dict().items())


def test_a_run_without_a_step_has_nothing_to_measure(tmp_path: Path) -> None:
    own = fake_sources(4, 2)
    with pytest.raises(NotEvaluated, match=f"pulmonode-train fit {RECIPE}"):
        trained(_run(tmp_path, own, steps=0), own)
