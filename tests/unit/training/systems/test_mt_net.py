"""MT-Net as a system: three networks one after the other, of which two are fed by the first when they are served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from tests.support.torch_slices import FakeSources, a_slice, some_slices
from training.data.slices import SliceBatch
from training.export import onnx_of
from training.loop import Moment, fit
from training.system import Modules, System
from training.systems.mt_net import RECIPES, Choice, MtNetRecipe, mt_net_smoke, start_fine
from training.systems.mt_net_served import CLASSIFIER, COARSE, FINE, binarised

FLOOR = 0.66
"""70 % of the median Dice of seeds 1 to 3."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def sources(train: int = 4, validation: int = 2) -> FakeSources:
    return FakeSources(some_slices(train), some_slices(validation, first=1000))


def short() -> MtNetRecipe:
    """Three phases of one epoch of two steps each."""
    return replace(mt_net_smoke(), epochs=(1, 1, 1), batches=(2, 2))


def built(system: System) -> Modules:
    torch.manual_seed(1)
    return system.build()


def a_batch(malignant: tuple[float, ...] = (0.0, 1.0)) -> SliceBatch:
    torch.manual_seed(2)
    images = torch.rand(len(malignant), 1, 64, 64)
    return SliceBatch(
        image_B1JI=images,
        mask_B1JI=(images > 0.9).float(),
        soft_B1JI=images,
        malignant_B=torch.tensor(malignant),
        sample_B=torch.arange(len(malignant)),
    )


def test_the_smoke_recipe_learns_in_all_phases_and_is_measured(tmp_path: Path) -> None:
    seen: list[Moment] = []
    recipe, own = mt_net_smoke(), sources(48, 16)
    state = fit(recipe.system(own), recipe.settings, tmp_path, seen.append)
    for phase, falls_to in ((COARSE, 0.7), (CLASSIFIER, 0.7), (FINE, 0.85)):  # the fine one starts from the coarse one
        losses = [sum(moment.losses.values()) for moment in seen if moment.phase == phase]
        assert np.mean(losses[-3:]) < falls_to * losses[0], phase
    assert seen[-1].figures["dice_fine"] > FLOOR
    figures = recipe.evaluate(own, state.model.eval(), lambda text: None).figures
    assert figures["segmentation"]["dice"]["value"] == pytest.approx(seen[-1].figures["dice_fine"], abs=0.001)
    assert figures["coarse"]["dice"]["value"] == pytest.approx(seen[-1].figures["dice_coarse"], abs=0.001)
    assert figures["malignancy"]["auc"]["value"] == pytest.approx(seen[-1].figures["auc"], abs=0.001)
    assert figures["two_readers_or_more"]["slices"] == 16


def test_a_run_that_was_stopped_in_any_phase_ends_as_one_that_was_not(tmp_path: Path) -> None:
    recipe, own = short(), sources()
    whole = fit(recipe.system(own), recipe.settings, tmp_path / "whole", lambda moment: None)
    for stop in (1, 2, 3, 5):
        fit(recipe.system(own), recipe.settings, tmp_path / "parts", lambda moment: None, stop=stop)
    parts = fit(recipe.system(own), recipe.settings, tmp_path / "parts", lambda moment: None)
    resumed = parts.model.state_dict()
    assert parts.step == 6
    assert all(torch.equal(value, resumed[name]) for name, value in whole.model.state_dict().items())


def test_the_fine_network_starts_from_the_coarse_one_in_place() -> None:
    model = built(short().system(sources()))
    before = {id(parameter) for parameter in model[FINE].parameters()}
    start_fine(model, {})
    own = model[FINE].state_dict()
    assert all(torch.equal(value, own[name]) for name, value in model[COARSE].state_dict().items())
    assert {name for name in own if name not in model[COARSE].state_dict()} == {
        name for name in own if name.startswith("fine_layer.")
    }
    assert {id(parameter) for parameter in model[FINE].parameters()} == before, "the optimiser knows these"


@pytest.mark.parametrize("phase", [1, 2])
def test_the_coarse_network_is_frozen_once_it_is_trained(phase: int) -> None:
    system = short().system(sources())
    model = built(system)
    before = {name: value.clone() for name, value in model[COARSE].state_dict().items()}
    model.train()
    sum(system.phases[phase].turns[0].losses(model, a_batch(), {}).values()).backward()  # type: ignore[union-attr]
    assert all(torch.equal(before[name], value) for name, value in model[COARSE].state_dict().items())
    assert all(parameter.grad is None for parameter in model[COARSE].parameters())


def test_the_classifier_ignores_nodules_of_unknown_malignancy() -> None:
    system = short().system(sources())
    model = built(system).eval()
    losses = system.phases[1].turns[0].losses
    known, more = a_batch((0.0, 1.0)), a_batch((0.0, 1.0, float("nan")))
    more = replace(more, image_B1JI=torch.cat([known.image_B1JI, more.image_B1JI[2:]]))
    assert losses(model, more, {})["class"].item() == pytest.approx(losses(model, known, {})["class"].item(), rel=1e-5)


def test_nodules_of_unknown_malignancy_train_the_segmenters_only_unless_printed_otherwise() -> None:
    unsure = replace(a_slice(50), ratings=(2, 3, 4))
    own = FakeSources((*some_slices(5), unsure), some_slices(1, first=1000))
    recipe = replace(short(), batches=(1, 1))
    assert [phase.epoch for phase in recipe.system(own).phases] == [6, 5, 6]
    printed = replace(recipe, learns_uncertain=False)
    assert [phase.epoch for phase in printed.system(own).phases] == [5, 5, 5]


def test_a_slice_counts_if_enough_readers_agree_on_a_nodule_of_3_to_25_mm() -> None:
    good, lonely = a_slice(1), a_slice(2, readers=1)
    wide, narrow = a_slice(3, radius=18.0), a_slice(4, radius=2.0)
    apart = replace(
        a_slice(5, readers=2), readers_RJI=np.stack([a_slice(5).readers_RJI[0], ~a_slice(5).readers_RJI[0]])
    )
    own = FakeSources((good, lonely, wide, narrow, apart), ())
    assert [s.case_id for s in Choice().slices(own, own.lidc_split.train)] == [good.case_id]


def test_the_classifier_s_mask_may_be_binary() -> None:
    coarse = torch.tensor([0.2, 0.5, 0.9])
    assert binarised(coarse, 0.5).tolist() == [0, 1, 1]
    assert binarised(coarse, None) is coarse


def test_two_models_are_fed_by_the_first() -> None:
    recipe = short()
    contracts = [one.contract for one in recipe.served(built(recipe.system(sources())))]
    assert [c.model for c in contracts] == ["mt_net_coarse", "mt_net_fine", "mt_net_class"]
    assert [c.roles for c in contracts] == [(), ("segmentation",), ("malignancy",)]
    for contract in contracts[1:]:
        assert [spec.name for spec in contract.inputs] == ["image", "coarse"]
        assert [(feed.input, feed.model, feed.output) for feed in contract.feeds] == [
            ("coarse", "mt_net_coarse", "probability")
        ]


def test_onnx_runtime_answers_as_torch_does_for_any_batch() -> None:
    recipe = short()
    rng = np.random.default_rng(0)
    _, *fed = recipe.served(built(recipe.system(sources())).eval())  # the fine graph holds all of the coarse one
    for one in fed:
        session = onnxruntime.InferenceSession(onnx_of(one), providers=["CPUExecutionProvider"])
        names = [spec.name for spec in one.contract.inputs]
        for batch in (1, 3):
            inputs = {name: rng.random((batch, 1, 64, 64), np.float32) for name in names}
            with torch.no_grad():
                expected = one.module(*(torch.from_numpy(inputs[name]) for name in names)).numpy()
            (answer,) = session.run(None, inputs)
            assert answer.shape == (batch, *one.contract.outputs[0].shape)
            assert np.abs(answer - expected).max() < recipe.parity


def test_recipes_go_by_their_own_names_and_say_what_they_are() -> None:
    for name, make in RECIPES.items():
        assert make().name == name
        assert (make.__doc__ or "").endswith(".") and "\n" not in (make.__doc__ or "")


def test_an_ablation_trains_and_serves_only_what_it_is_about() -> None:
    own = sources(64, 1)
    no_mask = RECIPES["mt_net_class_without_mask"]()
    assert [phase.name for phase in no_mask.system(own).phases] == [COARSE, CLASSIFIER]
    assert [phase.name for phase in RECIPES["mt_net_rank_k10"]().system(own).phases] == [COARSE, FINE]
    tiny = replace(mt_net_smoke(), epochs=no_mask.epochs)
    roles = {one.contract.model: one.contract.roles for one in tiny.served(built(tiny.system(own)))}
    assert roles == {"mt_net_coarse": ("segmentation",), "mt_net_class": ("malignancy",)}
