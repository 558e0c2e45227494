"""The training loop. Called from `training.cli` and tests.

Every step draws its windows from (seed, step) alone, so that a run that was stopped and taken up again gives the same
weights as one that was not. Shape suffixes: B batch, C channel, K J I space, N candidates, F features.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training import state as states
from training.candidates import candidates_in
from training.data.bank import Bank, draw
from training.data.targets import NOTHING
from training.data.windows import Window
from training.inputs import normalised
from training.losses.jnsc import class_loss, dice_loss, loss_weights, voxel_loss
from training.mining import false_findings
from training.networks.jnsc import features_from_maps
from training.recipes import Phase, Recipe
from training.state import State

CHECKPOINT_EVERY = 100
WARM_UP = 50
MINED_PHANTOMS = 4

Losses = dict[str, float]


def fit(
    recipe: Recipe, bank: Bank, folder: Path, report: Callable[[int, Losses], None], stop: int | None = None
) -> State:
    """Train from the folder's checkpoint, or from the beginning.

    Parameters
    ----------
    bank : training side only
    folder : where checkpoints go
    report : told the step and its losses
    stop : step to stop at; the recipe's last one if None
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = states.load(recipe, folder)
    for step, windows in _batches(recipe, bank, state, stop or recipe.steps):
        phase, _ = recipe.phase_at(step)
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(recipe, step)
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        parts = _losses(recipe, phase, state, windows)
        state.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip)
        state.optimiser.step()
        _average(recipe, state)
        state.step = step + 1
        report(step, {name: value.item() for name, value in parts.items()})
        if state.step % CHECKPOINT_EVERY == 0 or state.step == (stop or recipe.steps):
            states.save(state, folder)
    return state


def learning_rate(recipe: Recipe, step: int) -> float:
    """Of a step, by the recipe's schedule."""
    if recipe.schedule == "steps":
        return recipe.learning_rate * 0.2 ** (4 * step // recipe.steps)
    warm = min(1.0, (step + 1) / WARM_UP)
    return recipe.learning_rate * warm * max(0.02, 0.5 * (1 + math.cos(math.pi * step / recipe.steps)))


def _batches(recipe: Recipe, bank: Bank, state: State, stop: int) -> Iterator[tuple[int, list[Window]]]:
    """Steps with their windows; the next ones are drawn while a step runs. Mining comes before a phase's first step."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for step in range(state.step, stop):
            phase, first = recipe.phase_at(step)
            if first and phase.mine:
                state.hard, waiting = _mined(recipe, bank, state), None
            bank = dataclasses.replace(bank, hard=state.hard)
            current = waiting or pool.submit(_windows, recipe, bank, step)
            waiting = pool.submit(_windows, recipe, bank, step + 1) if step + 1 < stop else None
            yield step, current.result()


def _windows(recipe: Recipe, bank: Bank, step: int) -> list[Window]:
    phase, _ = recipe.phase_at(step)
    rng = np.random.default_rng([recipe.seed, step])
    return [draw(bank, recipe.mixture, phase.size, rng) for _ in range(phase.batch)]


def _mined(recipe: Recipe, bank: Bank, state: State) -> dict[str, list[tuple[int, int, int]]]:
    network, _ = states.averaged(recipe, state)
    phantoms = [scan for scan in bank.scans if scan.synthetic]
    rng = np.random.default_rng([recipe.seed, state.step, 1])
    some = [phantoms[n] for n in rng.permutation(len(phantoms))[:MINED_PHANTOMS]]
    return state.hard | false_findings(network, [*(scan for scan in bank.scans if not scan.synthetic), *some])


def _losses(recipe: Recipe, phase: Phase, state: State, windows: list[Window]) -> dict[str, Tensor]:
    weights = loss_weights(recipe.weights)
    volume_BCKJI = normalised(np.stack([window.volume_hu for window in windows])[:, None])
    target_BCKJI = torch.from_numpy(np.stack([window.target for window in windows])[:, None])
    nodule_BCKJI = (target_BCKJI != NOTHING).float()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        maps = state.network.encode(volume_BCKJI)
        logits_BCKJI = state.network.decode(maps)
        taps = state.network.tap(maps) if phase.classify else []
    logits_BCKJI = logits_BCKJI.float()
    parts = {"voxel": voxel_loss(logits_BCKJI, nodule_BCKJI, weights)}
    if recipe.dice:
        parts["dice"] = recipe.dice * dice_loss(logits_BCKJI, nodule_BCKJI)
    if phase.classify:
        probability = torch.sigmoid(logits_BCKJI.detach())[:, 0].numpy()
        features, labels = _candidates(recipe, taps, probability, windows)
        if labels:
            parts["class"] = class_loss(state.head.logits(torch.stack(features)), torch.tensor(labels), weights)
    return parts


def _candidates(
    recipe: Recipe, taps: list[Tensor], probability: np.ndarray, windows: list[Window]
) -> tuple[list[Tensor], list[int]]:
    """Features and labels of all candidates of all windows."""
    features, labels = [], []
    for number, window in enumerate(windows):
        maps = [tap_BCKJI[number].float() for tap_BCKJI in taps]
        for candidate in candidates_in(probability[number], window.target):
            features.append(features_from_maps(maps, candidate.box, candidate.voxels, recipe.network.bins))
            labels.append(candidate.label)
    return features, labels


@torch.no_grad()
def _average(recipe: Recipe, state: State) -> None:
    for name, value in state.model.state_dict().items():
        state.average[name].lerp_(value, 1 - recipe.average)
