"""JNSC learns on the common loop, resumes exactly, mines and refits when it should, and has the paper's schedule."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.torch_nodules import BankSources
from training import catalogue, checkpoint
from training.checkpoint import State
from training.data.bank import Bank, Mixture
from training.loop import Moment, fit
from training.system import Settings, System
from training.systems.jnsc import recipe as jnsc
from training.systems.jnsc.batches import WIDE, Stretch, drawn, rate
from training.systems.jnsc.recipe import JnscRecipe
from training.systems.jnsc.recipes import RECIPES, jnsc_one_pass, jnsc_paper_recipe, jnsc_smoke

FLOOR = 0.58
"""Of soft Dice: 70 % of the median of seeds 1 to 3 (0.905, 0.735 and 0.833)."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _short(*, refits: bool = False) -> JnscRecipe:
    stretches = (Stretch(steps=3, size=32, batch=1), Stretch(steps=3, size=32, batch=1, classify=True, mine=True))
    return dataclasses.replace(
        jnsc_smoke(), phases=stretches, has_backgrounds=True, refits=refits, settings=Settings(average=0.9)
    )


def _fit(recipe: JnscRecipe, folder: Path, stop: int | None = None) -> tuple[System, State, list[Moment]]:
    system, seen = recipe.system(BankSources()), list[Moment]()
    return system, fit(system, recipe.settings, folder, seen.append, stop=stop), seen


def test_the_loss_falls_by_thirty_percent_and_the_outlines_get_better(tmp_path: Path) -> None:
    _, _, seen = _fit(jnsc_smoke(), tmp_path)
    losses = [moment.losses["voxel"] + moment.losses["dice"] for moment in seen]
    assert len(losses) == 210
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    *_, last = [moment.figures["soft_dice"] for moment in seen if moment.figures]
    assert last > FLOOR


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[System, State, list[Moment]]:
    """A short run that nobody interrupted."""
    torch.set_num_threads(1)
    return _fit(_short(), tmp_path_factory.mktemp("whole"))


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    tmp_path: Path, whole: tuple[System, State, list[Moment]]
) -> None:
    """Interrupted before and after false findings were mined."""
    system, expected, _ = whole
    _, before, _ = _fit(_short(), tmp_path, stop=3)
    assert before.memory == {}
    _, after, _ = _fit(_short(), tmp_path, stop=4)
    assert set(after.memory["hard"]) == {"scan"}, "mined before the phase that asks for them"
    _, resumed, _ = _fit(_short(), tmp_path)
    assert resumed.step == expected.step == system.steps == 6
    assert {name: [list(place) for place in places] for name, places in expected.memory["hard"].items()} == {
        name: [list(place) for place in places] for name, places in resumed.memory["hard"].items()
    }
    for name, value in expected.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
        assert torch.equal(expected.average[name], resumed.average[name]), name


def test_the_refitted_head_is_in_weights_and_average_alike(tmp_path: Path) -> None:
    """After one stretch without scans; what is mined is no matter of the head."""
    recipe = dataclasses.replace(_short(refits=True), phases=_short().phases[:1], has_backgrounds=False)
    system, before, _ = _fit(recipe, tmp_path, stop=2)
    _, after, _ = _fit(recipe, tmp_path)
    assert after.memory["refit"]["candidates"] >= 6, "each of three nodules twice"
    assert not torch.equal(before.average["head.linear.weight"], after.average["head.linear.weight"])
    written = checkpoint.load(system, 1, tmp_path)
    assert torch.equal(written.average["head.linear.weight"], after.model.state_dict()["head.linear.weight"])


def test_candidates_are_classified_in_the_phases_that_say_so_only(whole: tuple[System, State, list[Moment]]) -> None:
    _, _, seen = whole
    assert all("class" not in moment.losses for moment in seen[:3])
    assert all(moment.losses["class"] > 0 for moment in seen[3:])


def test_a_settled_phase_keeps_the_statistics_of_the_ones_before(tmp_path: Path) -> None:
    """They are moved by windows of the first phase, and by nothing after it."""
    recipe = _short()
    first, second = recipe.phases
    network = dataclasses.replace(recipe.network, norm="batch")
    phases = (first, dataclasses.replace(second, is_settled=True, mine=False))
    recipe = dataclasses.replace(recipe, network=network, phases=phases)
    _, before, _ = _fit(recipe, tmp_path, stop=3)
    kept = {name: value.clone() for name, value in before.model.state_dict().items() if "running_" in name}
    _, after, _ = _fit(recipe, tmp_path)
    assert kept and any(value.abs().max() > 0 for name, value in kept.items() if "mean" in name)
    assert all(torch.equal(after.model.state_dict()[name], value) for name, value in kept.items())
    assert not torch.equal(after.model["network"].output.weight, before.average["network.output.weight"])


def test_each_so_many_steps_there_is_one_wide_window_of_a_scan() -> None:
    sources = BankSources()
    bank = Bank(nodules=sources.nodules, scans=sources.scans((), has_backgrounds=True))
    stretch = Stretch(steps=4, size=32, batch=2, wide_every=2)
    mixture = Mixture(patch=1.0, background=1e-9, phantom_nodule=0, pasted=0, hard=0, reflected_background=0)
    shapes = [
        tuple(drawn(bank, mixture, stretch, step, np.random.default_rng(step)).volume_B1KJI.shape) for step in range(3)
    ]
    assert shapes == [(1, 1, *[WIDE] * 3), (2, 1, 32, 32, 32), (1, 1, *[WIDE] * 3)]


def test_the_paper_s_learning_rate_falls_by_five_after_each_quarter() -> None:
    recipe = jnsc_paper_recipe()
    assert recipe.steps == 52_000
    factors = [rate(recipe.schedule, step, recipe.steps) for step in (0, 12_999, 13_000, 26_000, 51_999)]
    assert factors == pytest.approx([1, 1, 0.2, 0.04, 0.008])


def test_the_served_recipe_s_learning_rate_rises_and_falls_over_all_its_phases() -> None:
    recipe = jnsc_one_pass()
    assert recipe.steps == 2000
    first, _, third, *_ = recipe.system(BankSources()).phases
    assert first.rate(0) == pytest.approx(1 / 50, rel=1e-3)
    assert first.rate(49 / 100) == pytest.approx(1, rel=1e-2)
    assert third.rate(400 / 500) == pytest.approx(1 / 2, rel=1e-2)  # step 1000 of 2000
    assert rate(recipe.schedule, 1999, 2000) == pytest.approx(0.02)


def test_the_operating_score_of_the_figures_is_that_of_the_exported_contract() -> None:
    system = jnsc_smoke().system(BankSources())
    detector, head = system.calibrated(system.served(system.build()), {"real": {"operating_score": 0.61}})
    assert detector.contract.detection is not None and detector.contract.detection.operating_score == 0.61
    assert (detector.contract.head, head.contract.classes) == ("jnsc_head", ("benign", "malignant", "non-nodule"))
    assert (detector.maximum_batch, head.maximum_batch) == (16, 64)


def test_mining_and_validation_read_the_network_and_leave_its_weights_alone() -> None:
    torch.manual_seed(0)
    recipe, sources = jnsc_smoke(), BankSources()
    model = recipe.system(sources).build().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        assert 0 < jnsc.validated(model, sources.nodules[:1])["soft_dice"] < 0.5
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_command_line_knows_all_recipes_by_their_names() -> None:
    assert {name: catalogue.recipe(name).name for name in RECIPES} == {name: name for name in RECIPES}
