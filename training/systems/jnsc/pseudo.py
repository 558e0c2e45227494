"""Pseudo-labels of nodules that two readers or fewer have judged, while JNSC learns (paper 4, section II).

A marginal nodule's pseudo-label starts at what its readers say (T) and moves once per epoch to where the head's opinion
pulls it. What is remembered of it lies in the training's memory, hence in the checkpoint:

    memory["pseudo"]    pseudo-label by nodule, of those that have moved
    memory["visits"]    by nodule the sum of the head's opinions in this epoch, and how many there were

Called from `training.systems.jnsc.recipe` and `label_study`. Shape suffixes: N candidates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from training.data.luna16 import Nodule
from training.data.targets import MARGINAL
from training.labels.malignancy import Certainty, certainty, prior
from training.losses.jnsc import MALIGNANT, NON_NODULE, marginal_loss, updated_pseudo
from training.system import Losses, Memory

DRAWN = 2
"""Readers whom a thinned nodule keeps."""

CLOSEST = 1e-6
"""Of an opinion to 0 or 1, whose logarithms the update takes."""

Ratings = Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoLabels:
    """How pseudo-labels follow the head.

    Parameters
    ----------
    alpha : strength of their tie to the readers; 10 in the paper
    rate : of the step at the end of an epoch; the paper gives none. At 1 / (2 alpha) one step ends where the update
        comes to rest for the head's present opinion, which suits few epochs
    """

    alpha: float = 10.0
    rate: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Marginal:
    """A nodule with a pseudo-label; `prior` is T."""

    nodule_id: str
    prior: float


def marginals_of(nodules: Iterable[Nodule]) -> tuple[Marginal, ...]:
    """The marginal ones; their order gives the codes of their voxels, from `MARGINAL` on."""
    return tuple(
        Marginal(nodule_id=nodule.nodule_id, prior=prior(nodule.ratings))
        for nodule in nodules
        if nodule.ratings and certainty(nodule.ratings) is Certainty.MARGINAL
    )


def codes_of(marginals: Sequence[Marginal]) -> dict[str, int]:
    """Code of the voxels of each, by nodule."""
    return {one.nodule_id: MARGINAL + number for number, one in enumerate(marginals)}


def marginal_terms(
    logits_N3: Tensor, labels_N: Tensor, marginals: Sequence[Marginal], memory: Memory, labels: PseudoLabels
) -> Losses:
    """The loss of the marginal candidates, if there are any; the head's opinion of each is remembered.

    Parameters
    ----------
    labels_N : as in `training.losses.jnsc`; those of marginal nodules are their codes
    """
    chosen_N = labels_N >= MARGINAL
    some = [marginals[code - MARGINAL] for code in labels_N[chosen_N].tolist()]
    if not some:
        return {}
    moved = memory.get("pseudo", {})
    pseudo_N = logits_N3.new_tensor([moved.get(one.nodule_id, one.prior) for one in some])
    prior_N = logits_N3.new_tensor([one.prior for one in some])
    opinion_N = torch.softmax(logits_N3[chosen_N].detach()[:, :NON_NODULE], 1)[:, MALIGNANT]
    for one, opinion in zip(some, opinion_N.tolist(), strict=True):
        total, count = memory.setdefault("visits", {}).get(one.nodule_id, (0.0, 0))
        memory["visits"][one.nodule_id] = [total + opinion, count + 1]
    return {"marginal": marginal_loss(logits_N3[chosen_N], pseudo_N, prior_N, labels.alpha)}


def update(marginals: Sequence[Marginal], memory: Memory, labels: PseudoLabels) -> None:
    """Move the pseudo-labels of the nodules that were seen in this epoch, by the mean of the head's opinions."""
    visits = _of_all_processes(memory.pop("visits", {}))
    pseudo: dict[str, float] = memory.setdefault("pseudo", {})
    for one in marginals:
        if one.nodule_id in visits:
            total, count = visits[one.nodule_id]
            opinion = min(1 - CLOSEST, max(CLOSEST, total / count))
            before = pseudo.get(one.nodule_id, one.prior)
            pseudo[one.nodule_id] = updated_pseudo(before, one.prior, opinion, alpha=labels.alpha, rate=labels.rate)


def with_fewer_readers(nodules: Sequence[Nodule], seed: int) -> tuple[Nodule, ...]:
    """The same nodules, half of which keep two readers' ratings; the same ones for the same seed."""
    ratings = thinned([nodule.ratings for nodule in nodules], np.random.default_rng([seed, 4]))
    return tuple(dataclasses.replace(one, ratings=kept) for one, kept in zip(nodules, ratings, strict=True))


def thinned(ratings: Ratings, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Half of the nodules keep two readers' ratings, drawn at random."""
    chosen = set(rng.permutation(len(ratings))[: len(ratings) // 2].tolist())
    return [
        tuple(some[n] for n in rng.permutation(len(some))[:DRAWN]) if number in chosen else some
        for number, some in enumerate(ratings)
    ]


def _of_all_processes(visits: Mapping[str, Sequence[Any]]) -> dict[str, tuple[float, int]]:
    """Each process has seen its own windows; all of them move the same pseudo-labels."""
    everyone: list[Any] = [visits]
    if distributed.is_available() and distributed.is_initialized():
        everyone = [None] * distributed.get_world_size()
        distributed.all_gather_object(everyone, visits)
    together: dict[str, tuple[float, int]] = {}
    for one in everyone:
        for name, (total, count) in one.items():
            before, seen = together.get(name, (0.0, 0))
            together[name] = (before + total, seen + count)
    return together
