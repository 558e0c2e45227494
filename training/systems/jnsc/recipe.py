"""A training of JNSC: networks, data, phases, and what is served. Called from `training.systems.jnsc.recipes`.

Segmentation is trained first, then the head with it; before some phases the network's false findings are mined, so that
they can be drawn as hard places. After the last step the head is fitted once more (`training.systems.jnsc.refit`).
Shape suffixes: B batch, K J I space, N candidates; 1 = one channel.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.data.bank import Bank, Mixture
from training.data.luna16 import Nodule
from training.data.splits import guard
from training.data.targets import NOTHING
from training.evaluation.outcome import Outcome
from training.losses.jnsc import SOME_NODULE, Weights, class_loss, dice_loss, loss_weights, voxel_loss
from training.networks.blocks import settled
from training.networks.jnsc import Jnsc, JnscConfig, JnscHead, features_from_maps
from training.served import Served, TorchPredictor
from training.sources import Sources
from training.system import Losses, Memory, Modules, Phase, Settings, System, Turn
from training.systems.jnsc import judging
from training.systems.jnsc.batches import Schedule, Stretch, WindowBatch, drawn, rate
from training.systems.jnsc.candidates import candidates_in
from training.systems.jnsc.contracts import dense_contract, head_contract
from training.systems.jnsc.inputs import continued, normalised
from training.systems.jnsc.mining import false_findings
from training.systems.jnsc.pseudo import (
    Marginal,
    PseudoLabels,
    codes_of,
    marginal_terms,
    marginals_of,
    update,
    with_fewer_readers,
)
from training.systems.jnsc.refit import refit

MINED_PHANTOMS = 4
VALIDATED = 24
"""Validation nodules that the Dice at the end of a phase is of."""

DENSE_BATCH, HEAD_BATCH = 16, 64
GetBank = Callable[[], Bank]
GetMarginals = Callable[[], tuple[Marginal, ...]]
OfMarginal = Callable[[Tensor, Tensor], Losses]


@dataclass(frozen=True, slots=True, kw_only=True)
class JnscRecipe:
    """A training of JNSC.

    Parameters
    ----------
    network, phases, mixture : what is trained, in which order, on what
    learning_rate : at its highest
    schedule : see `training.systems.jnsc.batches.rate`
    weights : of the losses, see `training.losses.jnsc.loss_weights`
    dice : factor of the soft Dice term, which the paper does not have
    clip : largest norm of the gradient
    refits : whether the head is fitted once more on the finished network
    pseudo : how pseudo-labels of nodules of two readers or fewer follow the head; None = their labels are hard ones
    is_thinned : whether half of the training nodules keep two readers, so that there are such nodules in LUNA16
    has_backgrounds : whether windows are drawn from real CTs without reference marks, too
    phantoms : seeds of the phantoms trained on
    settings : torch 2.13's bfloat16 gives wrong gradients at 2^3 voxels, hence it is for windows of 48 and more only
    """

    name: str
    network: JnscConfig
    phases: tuple[Stretch, ...]
    mixture: Mixture = Mixture()
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    weights: Weights = "resolved"
    dice: float = 0.0
    clip: float = 1.0
    refits: bool = False
    pseudo: PseudoLabels | None = None
    is_thinned: bool = False
    has_backgrounds: bool = True
    phantoms: tuple[int, ...] = ()
    settings: Settings = Settings()
    parity: float = 1e-4

    @property
    def steps(self) -> int:
        """Of all phases."""
        return sum(stretch.steps for stretch in self.phases)

    def system(self, sources: Sources) -> System:
        """Networks, phases and what is served. Patches and scans are read when the first step needs them."""
        split = sources.luna16_split
        guard(split.train, split.validation)

        @functools.cache
        def bank() -> Bank:
            known = sources.luna16_nodules(split.train)
            return Bank(
                nodules=with_fewer_readers(known, self.settings.seed) if self.is_thinned else known,
                scans=sources.scans(self.phantoms, has_backgrounds=self.has_backgrounds),
            )

        @functools.cache
        def marginals() -> tuple[Marginal, ...]:
            return marginals_of(bank().nodules) if self.pseudo else ()

        firsts = itertools.accumulate((stretch.steps for stretch in self.phases), initial=0)
        return System(
            build=lambda: Modules({"network": Jnsc(self.network), "head": JnscHead(self.network)}),
            optimisers=lambda model: {"adam": torch.optim.Adam(model.parameters(), self.learning_rate)},
            phases=tuple(self._phase(*one, bank, marginals) for one in zip(self.phases, firsts, strict=False)),
            validate=lambda model: validated(model, sources.luna16_nodules(split.validation)[:VALIDATED]),
            served=served,
            finish=partial(self._finish, bank) if self.refits else None,
            calibrated=calibrated,
        )

    def evaluate(self, sources: Sources, model: Modules, tell: Callable[[str], None]) -> Outcome:
        """Figures of validation patients' patches and of unseen phantoms, at a score that other phantoms set."""
        split = sources.luna16_split
        guard(split.train, split.validation)
        models = served(model)
        detector, head = (one.contract for one in models)
        nodules = sources.luna16_nodules(split.validation)
        return judging.evaluate(nodules, detector, head, TorchPredictor(models), tell)

    def _phase(self, stretch: Stretch, first: int, bank: GetBank, marginals: GetMarginals) -> Phase:
        """The phase of a stretch whose first step is the `first` one of the whole training."""

        def batch(step: int, memory: Memory) -> WindowBatch:
            rng = np.random.default_rng([self.settings.seed, first + step])
            hard, marginal = memory.get("hard", {}), codes_of(marginals())
            return drawn(replace(bank(), hard=hard, marginal=marginal), self.mixture, stretch, step, rng)

        def enter(model: Modules, memory: Memory) -> None:
            if stretch.mine:
                rng = np.random.default_rng([self.settings.seed, first, 1])
                memory["hard"] = memory.get("hard", {}) | mined(model, bank(), rng)

        def losses(model: Modules, batch: WindowBatch, memory: Memory) -> Losses:
            def of_marginal(logits_N3: Tensor, labels_N: Tensor) -> Losses:
                return marginal_terms(logits_N3, labels_N, marginals(), memory, self.pseudo) if self.pseudo else {}

            if stretch.is_settled:
                settled(model)
            return self._losses(model, batch, of_marginal if stretch.classify else None)

        def after_epoch(model: Modules, memory: Memory) -> None:
            if self.pseudo and stretch.epoch:
                update(marginals(), memory, self.pseudo)

        return Phase(
            name=f"{first + 1}-{first + stretch.steps}{', head' if stretch.classify else ''}",
            steps=stretch.steps,
            epoch=stretch.epoch or stretch.steps,
            turns=(Turn(optimiser="adam", losses=losses, clip=self.clip),),
            batch=batch,
            rate=lambda share: rate(self.schedule, first + round(share * stretch.steps), self.steps),
            enter=enter,
            after_epoch=after_epoch,
            validate_every=0,
        )

    def _losses(self, model: Modules, batch: WindowBatch, of_marginal: OfMarginal | None) -> Losses:
        """The network in the precision of the settings, the losses in float32.

        Parameters
        ----------
        of_marginal : logits and labels of candidates to the loss of the marginal ones; None = the head is not trained
        """
        network, _ = parts(model)
        maps = network.encode(batch.volume_B1KJI)
        logits_B1KJI = network.decode(maps)
        taps = network.tap(maps) if of_marginal else []
        with torch.autocast(logits_B1KJI.device.type, enabled=False):
            terms = self._terms(batch.target_BKJI, logits_B1KJI.float())
            if of_marginal is None:
                return terms
            probability_BKJI = torch.sigmoid(logits_B1KJI.detach().float())[:, 0].cpu().numpy()
            found = _candidates(taps, probability_BKJI, batch.target_BKJI.cpu().numpy(), self.network.bins)
            return terms | (self._judged(model, *found, of_marginal) if found[0] else {})

    def _terms(self, target_BKJI: Tensor, logits_B1KJI: Tensor) -> Losses:
        """Of the voxels."""
        weights = loss_weights(self.weights)
        nodule_B1KJI = (target_BKJI != NOTHING).float()[:, None]
        terms = {"voxel": voxel_loss(logits_B1KJI, nodule_B1KJI, weights)}
        if self.dice:
            terms["dice"] = self.dice * dice_loss(logits_B1KJI, nodule_B1KJI)
        return terms

    def _judged(
        self, model: Modules, features: Sequence[Tensor], labels: Sequence[int], of_marginal: OfMarginal
    ) -> Losses:
        """Of the candidates. A nodule with a pseudo-label also counts as some nodule, which the paper leaves open."""
        logits_N3 = parts(model)[1].logits(torch.stack(list(features)))
        labels_N = torch.tensor(labels, device=logits_N3.device)
        hard = class_loss(logits_N3, labels_N.clamp(max=SOME_NODULE), loss_weights(self.weights))
        return {"class": hard} | of_marginal(logits_N3, labels_N)

    def _finish(self, bank: GetBank, model: Modules, memory: Memory) -> None:
        rng = np.random.default_rng([self.settings.seed, self.steps, 2])
        memory["refit"] = refit(model, replace(bank(), hard=memory.get("hard", {})), self.weights, rng)


def _candidates(
    taps: Sequence[Tensor], probability_BKJI: np.ndarray, target_BKJI: np.ndarray, bins: Sequence[int]
) -> tuple[list[Tensor], list[int]]:
    """Features and labels of all candidates of all windows."""
    features, labels = [], []
    for number, (probability, target) in enumerate(zip(probability_BKJI, target_BKJI, strict=True)):
        maps = [tap_BCKJI[number].float() for tap_BCKJI in taps]
        for candidate in candidates_in(probability, target):
            features.append(features_from_maps(maps, candidate.box, candidate.voxels, bins))
            labels.append(candidate.label)
    return features, labels


def parts(model: Modules) -> tuple[Jnsc, JnscHead]:
    """The dense network and the head."""
    network, head = model["network"], model["head"]
    assert isinstance(network, Jnsc) and isinstance(head, JnscHead)
    return network, head


def mined(model: Modules, bank: Bank, rng: np.random.Generator) -> dict[str, list[tuple[int, int, int]]]:
    """False findings of the network as it stands, on all real scans and some phantoms."""
    network = parts(model)[0].eval()
    phantoms = [scan for scan in bank.scans if scan.synthetic]
    some = [phantoms[n] for n in rng.permutation(len(phantoms))[:MINED_PHANTOMS]]
    return false_findings(network, [*(scan for scan in bank.scans if not scan.synthetic), *some])


def validated(model: Modules, nodules: Sequence[Nodule]) -> dict[str, float]:
    """Mean soft Dice over patches that are continued to whole windows."""
    network, _ = parts(model)
    losses = []
    for nodule in nodules:
        window = continued(nodule)
        logits_B1KJI = network.decode(network.encode(normalised(window.volume_hu)[None, None]))
        truth_B1KJI = torch.from_numpy(window.target != NOTHING).float()[None, None]
        losses.append(float(dice_loss(logits_B1KJI, truth_B1KJI)))
    return {"soft_dice": 1 - float(np.mean(losses))}


def served(model: Modules) -> tuple[Served, ...]:
    """The detector and the head that judges its candidates."""
    network, head = parts(model)
    return (
        Served(contract=dense_contract(network), module=network, maximum_batch=DENSE_BATCH),
        Served(contract=head_contract(head), module=head, maximum_batch=HEAD_BATCH),
    )


def calibrated(models: Sequence[Served], figures: Mapping[str, Any]) -> tuple[Served, ...]:
    """The models with the operating score that the evaluation found on phantoms."""
    detector, head = models
    return replace(detector, contract=judging.calibrated(detector.contract, figures)), head
