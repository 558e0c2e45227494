"""Fit the head once more, on the finished network: many windows, one convex problem, solved to its end.

The head is one linear layer, so nothing but its few windows so far keeps it from its optimum. How strongly it is held
small is chosen by cross-validation over training patients. Called from `training.systems.jnsc.recipe` after the
last step. Shape suffixes: N candidates, F features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.data.bank import Bank, Mixture, draw, target_of
from training.data.windows import Window, cut, varied
from training.losses.jnsc import BENIGN, MALIGNANT, Weights, class_loss, loss_weights
from training.metrics.statistics import area_under_roc
from training.networks.jnsc import CLASSES, Jnsc, JnscHead, features_from_maps
from training.system import Modules
from training.systems.jnsc.candidates import candidates_in
from training.systems.jnsc.contracts import ROI
from training.systems.jnsc.inputs import MARGIN, normalised

BACKGROUND = Mixture(patch=0.0, phantom_nodule=0.2, pasted=0.1, background=0.2, hard=0.45, reflected_background=0.05)
PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FOLDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Candidates for fitting.

    Parameters
    ----------
    features : shape (N, F)
    labels : shape (N,), as in `training.losses.jnsc`
    folds : shape (N,), by patient; -1 for candidates of scans
    """

    features: Tensor
    labels: Tensor
    folds: Tensor


def refit(model: Modules, bank: Bank, weights: Weights, rng: np.random.Generator) -> dict[str, float]:
    """Replace the head by the best one for the network.

    Returns
    -------
    the penalty chosen, its cross-validated malignancy AUC, and how many candidates there were
    """
    network, head = model["network"].eval(), model["head"]
    assert isinstance(network, Jnsc) and isinstance(head, JnscHead)
    sample = _sample(network, bank, rng)
    centre_F, scale_F = sample.features.mean(0), sample.features.std(0) + 1e-3
    scaled = Sample(features=(sample.features - centre_F) / scale_F, labels=sample.labels, folds=sample.folds)
    scores = {penalty: _cross_validated(scaled, weights, penalty) for penalty in PENALTIES}
    best = max(scores, key=lambda penalty: scores[penalty])
    weight_3F, bias_3 = _fitted(scaled.features, scaled.labels, weights, best)
    with torch.no_grad():
        head.linear.weight.copy_(weight_3F / scale_F)
        head.linear.bias.copy_(bias_3 - (weight_3F / scale_F) @ centre_F)
    return {"penalty": best, "cross_validated_malignancy_auc": scores[best], "candidates": len(sample.labels)}


def _sample(network: Jnsc, bank: Bank, rng: np.random.Generator) -> Sample:
    features, labels, folds = [], [], []
    for fold, window in _windows(bank, rng):
        for vector_F, label in candidates_of(network, window):
            features.append(vector_F)
            labels.append(label)
            folds.append(fold)
    return Sample(features=torch.stack(features), labels=torch.tensor(labels), folds=torch.tensor(folds))


def _windows(bank: Bank, rng: np.random.Generator) -> Iterator[tuple[int, Window]]:
    """Every training nodule twice in its own size, and as many windows of scans."""
    for nodule in (*bank.nodules, *bank.nodules):
        k, j, i = (int(-MARGIN + rng.integers(-MARGIN, MARGIN + 1)) for _ in range(3))
        window = cut(nodule.patch_hu, target_of(nodule), (k, j, i), ROI)
        yield hashlib.sha256(nodule.patient_id.encode()).digest()[1] % FOLDS, varied(window, rng)
        if bank.scans:
            yield -1, draw(bank, BACKGROUND, ROI, rng)


@torch.no_grad()
def candidates_of(network: Jnsc, window: Window) -> list[tuple[Tensor, int]]:
    """Features and labels of a window's candidates."""
    maps = network.encode(normalised(window.volume_hu[None, None]))
    probability = torch.sigmoid(network.decode(maps))[0, 0].numpy()
    taps = [tap_BCKJI[0] for tap_BCKJI in network.tap(maps)]
    return [
        (features_from_maps(taps, candidate.box, candidate.voxels, network.config.bins), candidate.label)
        for candidate in candidates_in(probability, window.target)
    ]


def _cross_validated(sample: Sample, weights: Weights, penalty: float) -> float:
    """Malignancy AUC of candidates of patients that the head was not fitted on."""
    scores, positive = [], []
    for fold in range(FOLDS):
        other_N = sample.folds != fold
        weight_3F, bias_3 = _fitted(sample.features[other_N], sample.labels[other_N], weights, penalty)
        rated_N = ~other_N & ((sample.labels == BENIGN) | (sample.labels == MALIGNANT))
        logits_N3 = sample.features[rated_N] @ weight_3F.T + bias_3
        scores += (logits_N3[:, MALIGNANT] - logits_N3[:, BENIGN]).tolist()
        positive += (sample.labels[rated_N] == MALIGNANT).tolist()
    return area_under_roc(scores, positive)


def _fitted(features_NF: Tensor, labels_N: Tensor, weights: Weights, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights and biases of least class loss plus `penalty` times the sum of squared weights."""
    weight_3F = torch.zeros(len(CLASSES), features_NF.shape[1], requires_grad=True)
    bias_3 = torch.zeros(len(CLASSES), requires_grad=True)
    solver = torch.optim.LBFGS([weight_3F, bias_3], max_iter=200, line_search_fn="strong_wolfe")
    by_class = loss_weights(weights)

    def closure() -> float:
        solver.zero_grad()
        loss = class_loss(features_NF @ weight_3F.T + bias_3, labels_N, by_class) + penalty * (weight_3F**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    solver.step(closure)  # type: ignore[no-untyped-call]
    return weight_3F.detach(), bias_3.detach()
