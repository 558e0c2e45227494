"""Do pseudo-labels help where only two readers have judged? Paper 4 asks; a finished network's features answer.

All of LUNA16's nodules have three readers or more, so marginal ones (two readers or fewer) are made here: half of the
training nodules keep two readers' ratings, drawn by a seed. A linear classifier of the frozen features is then fitted
with each kind of label and judged by all readers of the validation nodules. Called from `training.cli`.
Shape suffixes: N nodules, F features, S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from training.data.luna16 import Nodule
from training.labels.malignancy import Certainty, Label, certainty, label, prior
from training.losses.jnsc import settled_pseudo
from training.metrics.statistics import area_under_roc, figure, mean
from training.networks.jnsc import Jnsc, features_from_maps
from training.systems.jnsc.inputs import MARGIN, continued, normalised
from training.systems.jnsc.pseudo import Ratings, thinned

SEEDS = tuple(range(5))
ALPHAS = (1.0, 10.0, 20.0)
"""Of the paper's sweep: 10 is its choice, 20 is called similar, and small ones are said to end at hard labels."""

PENALTY = 0.1
"""Of squared weights; what the cross-validation of the head's last fit chose (`training.systems.jnsc.refit`)."""

ROUNDS = 8
"""How often the classifier is fitted and the pseudo-labels are set to where their update comes to rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """Nodules with their features and what all of their readers say; uncertain ones are left out.

    Parameters
    ----------
    features_NF : of the true outline's box, as the head sees a candidate
    """

    features_NF: Tensor
    ratings: tuple[tuple[int, ...], ...]
    diameters_mm: tuple[float, ...]
    patients: tuple[str, ...]


def rated(network: Jnsc, nodules: Sequence[Nodule]) -> Rated:
    """The nodules whose readers are of one opinion or the other."""
    certain = [nodule for nodule in nodules if nodule.label is not Label.UNCERTAIN]
    return Rated(
        features_NF=torch.stack([_features(network, nodule) for nodule in certain]),
        ratings=tuple(nodule.ratings for nodule in certain),
        diameters_mm=tuple(nodule.diameter_mm for nodule in certain),
        patients=tuple(nodule.patient_id for nodule in certain),
    )


def study(known: Rated, held_back: Rated, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """Figures of each kind of label on the held-back nodules, and what it gains over hard labels.

    Parameters
    ----------
    known, held_back : training and validation nodules
    """
    centre_F, scale_F = known.features_NF.mean(0), known.features_NF.std(0) + 1e-3
    x_NF, judged_NF = ((some.features_NF - centre_F) / scale_F for some in (known, held_back))
    scores: dict[str, list[NDArray[np.float32]]] = {}
    marginal = []
    for seed in seeds:
        ratings = thinned(known.ratings, np.random.default_rng([seed, 4]))
        kinds = [certainty(some) for some in ratings]
        marginal.append(sum(kind is Certainty.MARGINAL for kind in kinds))
        used = [n for n, kind in enumerate(kinds) if kind is not Certainty.UNCERTAIN]
        for name, fit in _fits().items():
            weight_F, bias = fit(x_NF[used], [ratings[n] for n in used])
            scores.setdefault(name, []).append((judged_NF @ weight_F + bias).numpy())
    return {
        "data": "LUNA16 nodules, features of the true outline's box; half of the training nodules keep two readers",
        "seeds": len(seeds),
        "training_nodules": len(known.ratings),
        "marginal_of_them": mean(marginal),
        **_figures(held_back, {name: np.stack(some) for name, some in scores.items()}),
    }


Fit = Callable[[Tensor, Ratings], tuple[Tensor, Tensor]]


def _fits() -> dict[str, Fit]:
    pseudo: dict[str, Fit] = {
        f"pseudo_alpha_{alpha:g}": lambda x_NF, ratings, alpha=alpha: fitted_pseudo(x_NF, ratings, alpha)  # type: ignore[misc]
        for alpha in ALPHAS
    }
    return {
        "hard": lambda x_NF, ratings: fitted(x_NF, hard(ratings)),
        "soft": lambda x_NF, ratings: fitted(x_NF, soft(ratings)),
        **pseudo,
    }


def hard(ratings: Ratings) -> Tensor:
    """1 where the median is above 3, else 0; shape (N,)."""
    return torch.tensor([float(label(some) is Label.MALIGNANT) for some in ratings])


def soft(ratings: Ratings) -> Tensor:
    """As `hard`, but T for marginal nodules; shape (N,)."""
    priors = torch.tensor([prior(some) for some in ratings])
    return torch.where(_marginal(ratings), priors, hard(ratings))


def fitted_pseudo(x_NF: Tensor, ratings: Ratings, alpha: float) -> tuple[Tensor, Tensor]:
    """As with soft labels, then in turns: pseudo-labels to rest (paper 4, formula 6), and another fit."""
    target_N, marginal_N = soft(ratings), _marginal(ratings)
    priors = [prior(some) for some in ratings]
    weight_F, bias = fitted(x_NF, target_N)
    for _ in range(ROUNDS):
        malignant_N = torch.sigmoid(x_NF @ weight_F + bias).clamp(1e-6, 1 - 1e-6).tolist()
        settled_N = torch.tensor([settled_pseudo(t, p, alpha) for t, p in zip(priors, malignant_N, strict=True)])
        weight_F, bias = fitted(x_NF, torch.where(marginal_N, settled_N, target_N))
    return weight_F, bias


def fitted(x_NF: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and bias of least cross entropy plus the penalty; to its end, as the problem is convex."""
    whole_F1 = torch.zeros(x_NF.shape[1] + 1, requires_grad=True)
    inputs_NF1 = pad(x_NF, (0, 1), value=1.0)
    solver = torch.optim.LBFGS([whole_F1], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> float:
        solver.zero_grad()
        entropy = binary_cross_entropy_with_logits(inputs_NF1 @ whole_F1, target_N)
        loss = entropy + PENALTY * (whole_F1[:-1] ** 2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    solver.step(closure)  # type: ignore[no-untyped-call]
    result = whole_F1.detach()
    return result[:-1], result[-1]


def _marginal(ratings: Ratings) -> Tensor:
    return torch.tensor([certainty(some) is Certainty.MARGINAL for some in ratings])


def _figures(held_back: Rated, scores_SN: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
    """Means over seeds with intervals over patients; differences are of the same nodules and seeds."""
    is_malignant_N = hard(held_back.ratings).numpy() == 1
    by_patient: dict[str, list[int]] = {}
    for number, patient in enumerate(held_back.patients):
        by_patient.setdefault(patient, []).append(number)

    def auc(name: str, some: Sequence[int]) -> float:
        return mean([area_under_roc(row[some], is_malignant_N[some]) for row in scores_SN[name]])

    def accuracy(name: str, some: Sequence[int]) -> float:
        return float(((scores_SN[name][:, some] > 0) == is_malignant_N[some]).mean())

    def row(name: str) -> dict[str, Any]:
        figures = {"auc": figure(by_patient, lambda s: auc(name, s))}
        figures["accuracy"] = figure(by_patient, lambda s: accuracy(name, s))
        if name != "hard":
            figures["auc_gain_over_hard"] = figure(by_patient, lambda s: auc(name, s) - auc("hard", s))
            figures["accuracy_gain_over_hard"] = figure(by_patient, lambda s: accuracy(name, s) - accuracy("hard", s))
        return {key: value.to_json() for key, value in figures.items()}

    diameters = np.array(held_back.diameters_mm)
    alone = figure(by_patient, lambda s: area_under_roc(diameters[s], is_malignant_N[s]))
    return {
        "validation_nodules": len(is_malignant_N),
        "malignant": int(is_malignant_N.sum()),
        "auc_by_diameter_alone": alone.to_json(),
        **{name: row(name) for name in scores_SN},
    }


@torch.no_grad()
def _features(network: Jnsc, nodule: Nodule) -> Tensor:
    (box,) = ndimage.find_objects(nodule.mask.astype(np.int8))
    k, j, i = ((part.start + MARGIN - 1, part.stop + MARGIN + 1) for part in box)
    maps = network.tap(network.encode(normalised(continued(nodule).volume_hu)[None, None]))
    return features_from_maps([m[0] for m in maps], (k, j, i), int(nodule.mask.sum()), network.config.bins)
